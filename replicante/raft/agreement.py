"""Whether the states of the peers are the same: digests at common indexes, judged by a majority of
the voters (ADR 0044). Pure; owned by driver.

Every peer tells every other the digests of its state; each judges itself and the others by the same
rule. Nobody is asked and nobody decides for others: a leader whose own state is wrong quarantines
nobody but itself.

Rules: a digest counts as right when a majority of the voters of the newest configuration has it at
one index; learners are judged and do not count. What was found wrong stays wrong as long as that
incarnation is a member: rows that were lost may be overwritten, which proves nothing about others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from replicante.raft import messages as m
from replicante.raft.membership import Configuration, majority
from replicante.raft.observations import (
    Observation,
    StateDiffers,
    StateQuarantined,
    StatesDisputed,
)
from replicante.raft.status import Quarantine


class Agreement:
    def __init__(self, *, own_key: str, quarantine: Quarantine | None) -> None:
        """quarantine: as an earlier process on this directory found it."""
        self._own_key = own_key
        self.quarantine = quarantine
        self.differs_at: dict[str, int] = {}
        """Other members whose state is wrong, by key: the index at which that was found."""
        self.evidence: dict[str, dict[str, str]] = {}
        """Of each of these, the digests at that index that were known then, by peer id. Empty when
        it is known only from the member's own word."""
        self.disputed_index: int | None = None
        """Voters, this peer among them, differ there, and no majority can come about."""
        self.standings: dict[str, m.Standing] = {}
        """What other members said of themselves last, by key."""
        self._own: Sequence[tuple[int, str]] = ()
        self._judged: Configuration | None = None
        self._has_news = False

    @property
    def is_state_trusted(self) -> bool:
        """Nothing speaks against handing this peer's state on."""
        return self.quarantine is None and self.disputed_index is None

    def heard(self, key: str, standing: m.Standing) -> None:
        self.standings[key] = standing
        self._has_news = True

    def judge(
        self, own: Sequence[tuple[int, str]], configuration: Configuration
    ) -> list[Observation]:
        """What was not known before. own: (index, digest) of this peer's state, oldest first.
        Cheap when nothing has changed."""
        is_known = own is self._own or own == self._own
        if not self._has_news and is_known and configuration is self._judged:
            return []
        self._own, self._judged, self._has_news = own, configuration, False
        self._forget_former_members(configuration)
        found: list[Observation] = []
        told = self._digests_by_index()
        for key, standing in self.standings.items():
            if index := standing.quarantined_index:
                found += self._condemn([key], index, told.get(index, {}), configuration)
        disputed_index = None
        for index, digests in sorted(told.items()):
            right, is_decidable = _right_digest(digests, configuration)
            if right is not None:
                disputed_index = None
                wrong = [key for key, digest in digests.items() if digest != right]
                found += self._condemn(wrong, index, digests, configuration)
                if self._own_key in wrong and self.quarantine is None:
                    own_digest = digests[self._own_key]
                    self.quarantine = Quarantine(index=index, own_digest=own_digest, digest=right)
                    found.append(StateQuarantined(quarantine=self.quarantine))
            elif not is_decidable and self._own_key in digests:
                disputed_index = index
        if disputed_index is not None and self.disputed_index is None:
            found.append(StatesDisputed(index=disputed_index))
        self.disputed_index = disputed_index
        return found

    def _forget_former_members(self, configuration: Configuration) -> None:
        former = {key for key in self.standings | self.differs_at if not configuration.find(key)}
        for key in former:
            self.standings.pop(key, None)
            self.differs_at.pop(key, None)
            self.evidence.pop(key, None)

    def _digests_by_index(self) -> dict[int, dict[str, str]]:
        """index → digest by the key of the member."""
        found: dict[int, dict[str, str]] = {}
        for index, digest in self._own:
            found.setdefault(index, {})[self._own_key] = digest
        for key, standing in self.standings.items():
            for index, digest in standing.digests:
                found.setdefault(index, {})[key] = digest
        return found

    def _condemn(
        self,
        keys: Iterable[str],
        index: int,
        digests: Mapping[str, str],
        configuration: Configuration,
    ) -> list[Observation]:
        """Others among them that were not known to differ."""
        found: list[Observation] = []
        for key in keys:
            member = configuration.find(key)
            if key == self._own_key or key in self.differs_at or member is None:
                continue
            self.differs_at[key] = index
            self.evidence[key] = {it.partition("/")[0]: digests[it] for it in sorted(digests)}
            found.append(
                StateDiffers(peer_id=member.peer_id, incarnation=member.incarnation, index=index)
            )
        return found


def _right_digest(
    digests: Mapping[str, str], configuration: Configuration
) -> tuple[str | None, bool]:
    """The digest that a majority of the voters has, if there is one, and whether there still can
    be one: voters may not have spoken yet."""
    voters = [voter.key for voter in configuration.voters]
    votes = Counter(digests[key] for key in voters if key in digests)
    if not votes:
        return None, True
    digest, count = votes.most_common(1)[0]
    silent_count = len(voters) - votes.total()
    needed = majority(len(voters))
    return (digest if count >= needed else None), count + silent_count >= needed
