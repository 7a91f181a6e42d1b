"""What the recover commands print for people. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from replicante.cli import render
from replicante.ids import generation_of, position_of

if TYPE_CHECKING:  # the engine is loaded by a command that runs, not by --help
    from replicante.raft.membership import Member
    from replicante.raft.skip_rules import SkipReport
    from replicante.raft.survivors import Advice, Survivor

_WIDTH = 100


def index_text(index: int) -> str:
    """As it is, and its place in its generation, where that is not the same."""
    if generation_of(index) == 0:
        return str(index)
    return f"{index} (generation {generation_of(index)}, place {position_of(index)})"


def survivor_text(place: int, found: Survivor) -> str:
    vote = f", its vote given to {found.voted_for.partition('/')[0]}" if found.voted_for else ""
    members = _members(found.voters)
    if found.learners:
        members += f"; learners {_members(found.learners)}"
    log = f"entries {index_text(found.first_index)} to {index_text(found.last_index)}"
    rows = [
        ("peer", f"{found.peer_id}, {found.standing.value}, incarnation {found.incarnation}"),
        ("cluster", f"{found.cluster_name}, id {found.cluster_id}"),
        ("generation", found.generation),
        ("term", f"{found.term}{vote}; started {found.boot} times"),
        ("members", f"{members}, by entry {index_text(found.configuration_index)}"),
        ("log", f"{log}, the last of term {found.last_term}"),
        ("chain", found.chain),
        ("committed", f"up to {index_text(found.committed_index)} for certain"),
        ("state", _state(found)),
        ("checksums", _checksums(found)),
    ]
    if found.unfinished:
        rows.append(("unfinished", found.unfinished))
    size = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(size)}{render.GAP}{value}" for name, value in rows]
    return render.shown(f"{place}. {found.folder}") + "\n" + "\n".join(map(render.shown, lines))


def advice_text(advice: Advice) -> str:
    return "\n".join(
        line
        for said in advice.said
        for line in textwrap.wrap(render.shown(said), _WIDTH, break_on_hyphens=False)
    )


def skip_text(report: SkipReport) -> str:
    rows = [(it.peer_id, it.fate.value, it.last_index, it.chain) for it in report.directories]
    text = render.table(("PEER", "ENTRY", "LAST ENTRY", "CHAIN"), rows)
    if report.next_broken is not None:
        text += f"\nEntry {report.next_broken} breaks too: skip it as well."
    if report.untreated:
        text += (
            f"\nNot given: {', '.join(report.untreated)}. Run the same command, with the same"
            " reason, on their directories before any peer starts; equal last entries have equal"
            " chains."
        )
    return text


def _state(found: Survivor) -> str:
    if found.state_fault:
        return f"broken: {found.state_fault}"
    return "none" if found.state_index is None else f"as of entry {index_text(found.state_index)}"


def _checksums(found: Survivor) -> str:
    fault = found.log_fault
    return f"broken: {fault}" if fault else "right, and each entry follows the one before it"


def _members(members: Sequence[Member]) -> str:
    return ", ".join(f"{it.peer_id} ({it.raft_address})" for it in members) or "none known"
