"""Which of the data directories that are left knows most, and what is lost with the others. Pure.

Called by `replicante recover inspect` with what `inspecting` read.

Rule: it promises only what the logs prove. An entry was acknowledged only when a majority of the
voters had it, so while the voters that are missing are fewer than a majority, every acknowledged
entry is on a directory that is here, and the best of them has all of them (paper, §5.4.3). But
the missing ones may have changed the voters, and nobody here heard of it. With more than half of
the voters here they could not: a voter more or less leaves them short of a majority, too. Half of
them could have, under a leader of their own; see `_is_led_from_here`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from replicante.raft.membership import Configuration, Member, majority


class Standing(enum.StrEnum):
    """Of the peer in the newest configuration of its own log."""

    VOTER = "voter"
    LEARNER = "learner"
    NO_MEMBER = "no member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """What one data directory holds. Where `log_fault` is set, all that is said of entries is
    about those before the fault."""

    folder: str
    cluster_name: str
    cluster_id: str
    peer_id: str
    incarnation: str
    generation: int
    term: int
    """The newest that it promised anything in; `voted_for` is whom it gave its vote then."""
    voted_for: str | None
    boot: int
    standing: Standing
    configuration_index: int
    voters: tuple[Member, ...]
    learners: tuple[Member, ...]
    first_index: int
    last_index: int
    last_term: int
    chain: str
    """Of the last entry: equal chains are equal logs."""
    committed_index: int
    """Entries up to here were committed for certain; later ones may have been."""
    state_index: int | None
    """The state on disk holds what the entries up to here did; None: there is no state."""
    unfinished: str
    """What was under way when its process ended, and is finished by its next start; may be
    empty."""
    log_fault: str
    """Empty: every checksum is right, and each entry follows the one before it."""
    state_fault: str
    configurations: tuple[Configuration, ...]
    """Of which one counted at the end: the newest that was committed for certain, and all later
    ones."""
    electors: tuple[Member, ...]
    """Who could make the leader of `last_term`: the voters before the first entry of that term.
    Empty: not known, the log begins within that term."""
    term_index: int
    """The first entry of `last_term`; 0: not known, as before."""
    term_runs: tuple[tuple[int, int], ...]
    """(first entry of a run, its term), ascending, of the entries that the log still has."""

    @property
    def key(self) -> str:
        return f"{self.peer_id}/{self.incarnation}"

    @property
    def is_sound(self) -> bool:
        return not self.log_fault and not self.state_fault

    def term_at(self, index: int) -> int | None:
        """Of an entry of its log; None: it has none, or not any more."""
        if not self.first_index <= index <= self.last_index:
            return None
        return next(term for first, term in reversed(self.term_runs) if first <= index)


class Way(enum.StrEnum):
    START = "start"
    """A majority is here: no recovery, start them."""
    FORCE_WITHOUT_LOSS = "force_without_loss"
    """Too few to go on, enough to have everything that was acknowledged."""
    FORCE = "force"
    """What the others had alone is lost."""
    RESTORE = "restore"
    """Nothing here can be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    way: Way
    use: tuple[str, ...]
    """Folders: all that are to be started, or the one to go on from."""
    missing: tuple[str, ...]
    """Voters of the newest configuration that are not here, or broken."""
    said: tuple[str, ...]
    """In words: what to do, and what is lost by it."""


_NOTHING = (
    "No directory is sound: nothing can be started or forced from them. Keep all of them, and"
    " restore from a backup."
)


def rank(survivors: Sequence[Survivor]) -> tuple[Survivor, ...]:
    """The best one first: sound before broken, then by generation, whether it has what any of them
    knows to be committed, term of the last entry, and index."""
    certain = max(survivors, key=lambda it: (it.is_sound, it.generation, it.committed_index))
    return tuple(
        sorted(
            survivors,
            key=lambda it: (
                not it.is_sound,
                -it.generation,
                not _has(it, certain),
                -it.last_term,
                -it.last_index,
            ),
        )
    )


def _has(survivor: Survivor, certain: Survivor) -> bool:
    """All that is certain to be committed by the one that knows most of that. A log that ends in a
    later term may lack it: entries of a term before may have been committed by one after (paper,
    §5.4.2), of which these two heard no entry. Equal terms at one index are equal logs (§5.3)."""
    index = certain.committed_index
    if index < survivor.first_index or certain.term_at(index) is None:
        return survivor.last_index >= index
    return survivor.term_at(index) == certain.term_at(index)


def advise(ranked: Sequence[Survivor]) -> Advice:
    """ranked: as `rank` gives them, of one cluster; at least one."""
    best = ranked[0]
    if not best.is_sound:
        return Advice(way=Way.RESTORE, use=(), missing=(), said=(_NOTHING,))
    usable = [it for it in ranked if it.is_sound and it.generation == best.generation]
    here = {it.key for it in usable}
    newest = best.configurations[-1]
    missing = tuple(it.peer_id for it in newest.voters if it.key not in here)
    said = _left_out(ranked, usable)
    if all(_count(it, here) >= majority(len(it.voters)) for it in best.configurations):
        members = [it for it in usable if it.standing is not Standing.NO_MEMBER]
        said.append(
            f"{_names(members)}: a majority of the {len(newest.voters)} voters is here. Start"
            " them as they are; nothing that was acknowledged is lost, and nothing is to be"
            " recovered."
        )
        if missing:
            said.append(
                f"Then replace {', '.join(missing)}: remove each one and join it again, empty."
            )
        return Advice(
            way=Way.START, use=tuple(it.folder for it in members), missing=missing, said=tuple(said)
        )
    said.append(
        f"{best.peer_id} knows most: use {best.folder}. Its log ends with entry"
        f" {best.last_index} of term {best.last_term}; up to {best.committed_index} it is certain"
        " that its entries were committed, and the later ones become part of the history."
    )
    is_half = all(
        len(it.voters) - _count(it, here) < majority(len(it.voters)) for it in best.configurations
    )
    is_whole = is_half and _is_led_from_here(best, usable, here)
    if is_whole:
        said.append(
            f"Missing: {', '.join(missing)}, too few to have acknowledged anything alone: whoever"
            " led last is here. Nothing that was acknowledged is lost."
        )
    elif is_half:
        said.append(
            f"Missing: {', '.join(missing)}, half of the voters: too few to have acknowledged"
            " anything alone, unless they changed the members last and none of these directories"
            f" heard of it. Then what was written after entry {best.last_index} is lost. Look for"
            " their disks first."
        )
    else:
        said.append(
            f"Missing: {', '.join(missing)}, which may have acknowledged more. Whatever was"
            f" written after entry {best.last_index} and reached only them is lost. Look for their"
            " disks first."
        )
    return Advice(
        way=Way.FORCE_WITHOUT_LOSS if is_whole else Way.FORCE,
        use=(best.folder,),
        missing=missing,
        said=tuple(said),
    )


def _left_out(ranked: Sequence[Survivor], usable: Sequence[Survivor]) -> list[str]:
    said = []
    for it in ranked:
        if it in usable:
            continue
        if not it.is_sound:
            said.append(f"{it.folder} is broken and counts as lost.")
        else:
            said.append(
                f"{it.folder} is of generation {it.generation}, before a recovery to"
                f" {usable[0].generation}: it is not let in any more."
            )
    keys = [it.key for it in usable]
    copies = sorted({it.peer_id for it in usable if keys.count(it.key) > 1})
    if copies:
        said.append(
            f"More than one directory is that of {', '.join(copies)}: copies count once. Never"
            " start two of them."
        )
    return said


def _is_led_from_here(best: Survivor, usable: Sequence[Survivor], here: set[str]) -> bool:
    """Of directories, none of them an old copy, with which half of the voters is missing.

    Only a leader changes the members, and it writes that down before it tells anybody (ADR 0076).
    In the newest term of all directories the best one has entries; its leader needed a vote from
    here, and nobody here voted for somebody missing. So that leader is here, with every change that
    it made. A later one would have needed a vote from here, too, but for who is missing and wrote
    down a change of its own before, that nobody heard of: it cannot be elected any more when an
    entry of that term was committed, nor have made one where the only one missing voted last."""
    term = max(it.term for it in usable)
    missing_count = sum(voter.key not in here for voter in best.electors)
    needs_us = len(best.electors) > 0 and missing_count < majority(len(best.electors))
    if best.last_term != term or not needs_us:
        return False
    if {it.voted_for for it in usable if it.term == term} - {None, *here}:
        return False
    # A leader changes the members only after the first entry of its term was committed.
    is_committed = best.configuration_index > best.term_index or any(
        it.committed_index >= best.term_index for it in usable
    )
    return is_committed or len(best.electors) == 2


def _count(configuration: Configuration, here: set[str]) -> int:
    return sum(voter.key in here for voter in configuration.voters)


def _names(survivors: Sequence[Survivor]) -> str:
    return ", ".join(it.peer_id for it in survivors)
