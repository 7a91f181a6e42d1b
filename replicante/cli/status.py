"""`replicante status` and `replicante raft status`: how the peers are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click
import msgspec

from replicante.cli import members, render
from replicante.cli.common import Target, client_options, example
from replicante.cli.exits import Exit
from replicante.client import Client, Read
from replicante.errors import Conflict, ReplicanteError, Unreachable
from replicante.wire.status import RaftStatus, StatusAnswer

ANSWER_MS_MAX = 3_000
DIGEST_CHARACTERS = 12


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint said; status is None when it said nothing, and error tells why."""

    endpoint: str
    status: RaftStatus | None = None
    error: str | None = None


@click.command(epilog=example("replicante status", "replicante status -o json"))
@client_options
def status(*, target: Target) -> None:
    """Print how the cluster is, as one peer sees it."""
    found = target.run(lambda client: client.status(read=Read(timeout_ms=target.timeout_ms)))
    target.show(found, text=lambda: _status_text(found))


@click.group(epilog=example("replicante raft status"))
def raft() -> None:
    """The Raft group of the control plane itself."""


@raft.command(
    "status",
    epilog=example("replicante raft status", "replicante raft status --verify -o json"),
)
@click.option(
    "--verify",
    "must_agree",
    is_flag=True,
    help="End with 1 unless the states of at least two peers were compared and are equal, and no"
    " peer knows of one that is wrong.",
)
@client_options
def raft_status(*, must_agree: bool, target: Target) -> int:
    """Ask every endpoint for its role, how far it is, and the digest of its state."""

    async def ask(client: Client, endpoint: str) -> PeerReport:
        timeout_ms = min(target.timeout_ms, ANSWER_MS_MAX)
        try:
            try:
                found = await client.raft_status(
                    endpoint, has_digest_now=True, timeout_ms=timeout_ms
                )
            except Conflict:  # too large to be hashed for one question
                found = await client.raft_status(endpoint, timeout_ms=timeout_ms)
            return PeerReport(endpoint=endpoint, status=found)
        except ReplicanteError as exc:
            return PeerReport(endpoint=endpoint, error=exc.message)

    async def ask_all(client: Client) -> list[PeerReport]:
        return list(await asyncio.gather(*(ask(client, it) for it in client.endpoints)))

    reports = target.run(ask_all)
    if all(report.status is None for report in reports):
        reasons = "; ".join(report.error or "" for report in reports)
        raise Unreachable(
            f"No peer answered ({reasons}).",
            hints=["Check the addresses (--endpoints), and that the peers run."],
        )
    target.show(reports, text=lambda: _raft_text(reports))
    for report in reports:
        if report.error is not None:
            click.echo(f"{report.endpoint}: {report.error}", err=True)
    alarms = _alarms(reports)
    for line in alarms:
        click.echo(line, err=True)
    do_agree, verdict = compare_digests([it.status for it in reports if it.status is not None])
    click.echo(verdict, err=True)
    return Exit.FAILED if must_agree and (alarms or not do_agree) else Exit.OK


for _command in members.COMMANDS:
    raft.add_command(_command)


def compare_digests(statuses: Sequence[RaftStatus]) -> tuple[bool, str]:
    """Whether the states of the peers are known to agree, and in words: at every index that all
    have a digest of."""
    found = [
        {it.index: it.value for it in (*status.digests, status.digest) if it is not None}
        for status in statuses
    ]
    common = set.intersection(*map(set, found)) if found else set()
    if len(statuses) < 2 or not common:
        return False, "digests: no common index to compare yet"
    differing = [index for index in common if len({digests[index] for digests in found}) > 1]
    if differing:
        return False, f"digests: THE STATES DIFFER at index {max(differing)}; see -o json"
    count = len(statuses)
    return True, f"digests: the states of {count} peers are equal at index {max(common)}"


def _alarms(reports: Sequence[PeerReport]) -> list[str]:
    """What the peers themselves have found, and how to get out of it."""
    lines = []
    for report in reports:
        status = report.status
        state = None if status is None else _state_of_states(status)
        if status is not None and state is not None:
            lines.append(f"{status.peer}: {state}")
        if status is not None and status.quarantine is not None:
            lines += [f"  {step}" for step in status.quarantine.way_out]
    return lines


def _status_text(found: StatusAnswer) -> str:
    summary = render.pairs(
        [
            ("cluster", found.cluster),
            ("asked", f"{found.peer} ({found.role})"),
            ("ready", "yes" if found.is_ready else f"no: {found.not_ready_reason}"),
            ("leader", found.leader),
            ("term", found.term),
            ("applied", f"{found.applied_index} of {found.commit_index}"),
            ("staleness", None if found.staleness_ms is None else f"{found.staleness_ms} ms"),
            ("durability", found.durability),
            ("version", found.version),
            ("uptime", found.uptime),
            ("newest event", found.events_head),
            ("state", _state_of_states(found)),
        ]
    )
    rows = [
        (
            it.peer,
            "leader" if it.is_leader else "voter" if it.is_voter else "learner",
            "yes" if it.is_connected else "no",
            "-" if it.differs_at is None else f"WRONG since {it.differs_at}",
            it.url,
        )
        for it in found.peers
    ]
    return f"{summary}\n\n{render.table(('PEER', 'ROLE', 'CONNECTED', 'STATE', 'URL'), rows)}"


def _state_of_states(found: StatusAnswer | RaftStatus) -> str | None:
    """None when nothing is known to be wrong."""
    wrong = [it.peer for it in found.peers if it.differs_at is not None]
    if found.quarantine is not None:
        return f"QUARANTINED since index {found.quarantine.index}"
    if found.disputed_index is not None:
        return f"DISPUTED at index {found.disputed_index}: no majority has the same state"
    return f"WRONG on {', '.join(wrong)}: in quarantine" if wrong else None


def _raft_text(reports: Sequence[PeerReport]) -> str:
    header = ("PEER", "ROLE", "LEADER", "TERM", "COMMIT", "APPLIED", "STALENESS", "DIGEST", "URL")
    return render.table(header, [_raft_row(report) for report in reports])


def _raft_row(report: PeerReport) -> tuple[object, ...]:
    it = report.status
    if it is None:
        return (None, "no answer", None, None, None, None, None, None, report.endpoint)
    digest = it.digest
    return (
        it.peer,
        it.role,
        it.leader,
        it.term,
        it.commit_index,
        it.applied_index,
        None if it.staleness_ms is None else f"{it.staleness_ms} ms",
        None if digest is None else f"{digest.index}:{digest.value[:DIGEST_CHARACTERS]}",
        report.endpoint,
    )
