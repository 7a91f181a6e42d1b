"""Decides whom a fault hits, in which shape, how long and how hard. Pure.

Called by `jlike.nemesis`. Rule: everything that is drawn is drawn here, from the chance that is
handed in, and stands in the plan, so that what was done can be read off and done again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jlike.links import Flaw, Pair

HELD_S = (0.3, 4.0)
LEADER_SHARE = 0.35
FLAP_S = (0.05, 0.5)
RESTART_S = (0.0, 0.2)
"""Between a kill and the start after it, in a crash loop: within one election."""
CRASHES = (3, 6)
PARTITIONS = ("one", "halves", "inward", "outward", "ring", "bridge")
SLOW = (Flaw(delay_s=0.02), Flaw(delay_s=0.1, jitter_s=0.1), Flaw(delay_s=0.4, jitter_s=0.05))
LOSSY = (
    Flaw(loss=0.05),
    Flaw(loss=0.3),
    Flaw(loss=0.1, delay_s=0.01, jitter_s=0.05),
    Flaw(loss=0.05, twice=0.3, jitter_s=0.02),
)
SYNC_MS = (5, 50, 200, 500)
CLOCK_S = (3_600, -3_600, 600, -600, 5, -5)
ONCE_S = 0.15
"""So short that one fsync or a few meet it."""
DIES_AFTER_S = 0.02
"""Of a question, at most: most answers take longer under load."""
DAMAGES = (
    *("log bits flipped", "log garbled", "log shortened", "log emptied"),
    *("state garbled", "state shortened"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """ids: of all peers, sorted. leader: who leads, as far as anybody says so. is_first_leader: no
    change of leader was seen yet; all faults aim at the leader then, so that a short run has one
    to tell of. free: peers that no fault holds at the moment."""

    ids: Sequence[str]
    leader: str | None
    is_first_leader: bool
    free: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One fault. victims: peers that it hits. pairs: links. seconds: how long it holds. figures:
    what else its kind needs to know."""

    kind: str
    shape: str
    seconds: float
    victims: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    flaw: Flaw | None = None
    how: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """For people."""
        extras = [self.how] if self.how else []
        extras += [f"{name} {value:g}" for name, value in self.figures.items()]
        if self.flaw is not None:
            extras += [f"delay {self.flaw.delay_s * 1000:g} ms", f"loss {self.flaw.loss:g}"]
        whom = f"{self.shape}: {' '.join(self.victims)}" if self.victims else self.shape
        return ", ".join([whom, *extras])


def plan(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    """None: nobody is free to be hit."""
    return _PLANNERS[kind](kind, scene, chance)


# --- who -----------------------------------------------------------------------------------------


def victims(scene: Scene, chance: random.Random, *, most: int) -> tuple[str, tuple[str, ...]]:
    """(shape, peers): the leader, one, a minority, a majority or all; at most so many."""
    leader = scene.leader
    if leader is not None and leader in scene.free and _aims_at_leader(scene, chance):
        return "leader", (leader,)
    free = sorted(scene.free)
    minority = max(1, (len(scene.ids) - 1) // 2)
    shapes = {"one": 1, "minority": minority, "majority": minority + 1, "all": len(scene.ids)}
    shape = chance.choice([name for name, size in shapes.items() if size <= most])
    return shape, tuple(sorted(chance.sample(free, min(shapes[shape], len(free)))))


def minority_of(scene: Scene) -> int:
    return max(1, (len(scene.ids) - 1) // 2)


def cut_of(scene: Scene, chance: random.Random) -> tuple[str, tuple[str, ...], set[Pair]]:
    """(shape, peers in the order that the shape speaks of, pairs that are cut)."""
    ids = list(scene.ids)
    chance.shuffle(ids)
    if scene.leader is not None and _aims_at_leader(scene, chance):
        ids.remove(scene.leader)
        ids.insert(0, scene.leader)
    half = len(ids) // 2
    shape = chance.choice([it for it in PARTITIONS if it != "ring" or len(ids) > 3])
    match shape:
        case "one":
            cut = _between(ids[:1], ids[1:])
        case "halves":
            cut = _between(ids[:half], ids[half:])
        case "inward":
            cut = {(other, ids[0]) for other in ids[1:]}
        case "outward":
            cut = {(ids[0], other) for other in ids[1:]}
        case "ring":  # each peer sees a majority, no two see the same
            near = (len(ids) // 2 + 1) // 2
            cut = {
                (one, other)
                for at, one in enumerate(ids)
                for to, other in enumerate(ids)
                if min((at - to) % len(ids), (to - at) % len(ids)) > near
            }
        case _:  # a bridge: two sides that only one peer sees both of
            cut = _between(ids[:half], ids[half + 1 :])
    return shape, tuple(ids), cut


def _aims_at_leader(scene: Scene, chance: random.Random) -> bool:
    return scene.is_first_leader or chance.random() < LEADER_SHARE


def _between(one_side: Sequence[str], other_side: Sequence[str]) -> set[Pair]:
    there = {(one, other) for one in one_side for other in other_side}
    return there | {(other, one) for one, other in there}


# --- how, kind by kind ---------------------------------------------------------------------------


def _partition(kind: str, scene: Scene, chance: random.Random) -> Plan:
    shape, order, cut = cut_of(scene, chance)
    flap_s = chance.uniform(*FLAP_S)
    return Plan(
        kind=kind,
        shape=shape,
        seconds=chance.uniform(*HELD_S),
        victims=order,
        pairs=tuple(sorted(cut)),
        figures={"flap_s": round(flap_s, 3)} if kind == "flapping" else {},
    )


def _flaw(kind: str, scene: Scene, chance: random.Random) -> Plan:
    """All links of the leader, or all there are."""
    victim = scene.leader or chance.choice(scene.ids)
    others = [it for it in scene.ids if it != victim]
    is_everywhere = chance.random() < 0.3
    pairs = _between([victim], others)
    if is_everywhere:
        pairs = {(one, other) for one in scene.ids for other in scene.ids if one != other}
    return Plan(
        kind=kind,
        shape="everywhere" if is_everywhere else "around",
        seconds=chance.uniform(*HELD_S),
        victims=(victim,),
        pairs=tuple(sorted(pairs)),
        flaw=chance.choice(SLOW if kind == "slow" else LOSSY),
    )


def _processes(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    if not scene.free:
        return None
    shape, hit = victims(scene, chance, most=len(scene.ids))
    figures: dict[str, float] = {}
    if kind == "crashloop":
        figures = {"crashes": chance.randint(*CRASHES)}
    return Plan(
        kind=kind, shape=shape, seconds=chance.uniform(*HELD_S), victims=hit, figures=figures
    )


def _restart(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    """One, most often the leader; sometimes each in turn."""
    if not scene.free:
        return None
    shape, hit = victims(scene, chance, most=1)
    if not scene.is_first_leader and chance.random() < 0.3:
        shape, hit = "rolling", tuple(sorted(scene.free))
    return Plan(kind=kind, shape=shape, seconds=chance.uniform(0.0, 1.0), victims=hit)


def _minority(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    if not scene.free:
        return None
    shape, hit = victims(scene, chance, most=minority_of(scene))
    return Plan(kind=kind, shape=shape, seconds=chance.uniform(*HELD_S), victims=hit)


def _power(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    found = _processes(kind, scene, chance)
    if found is None:
        return None
    return replace(found, figures={"dies_first": chance.choice((0, 1))})


def _disks(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    """Of peers that run: a fault of a promise needs somebody who asks for it."""
    if not scene.free:
        return None
    most = len(scene.ids) if kind != "failsync" else minority_of(scene)
    shape, hit = victims(scene, chance, most=most)
    figures: dict[str, float] = {}
    if kind == "slowsync":
        figures = {"delay_ms": chance.choice(SYNC_MS)}
    if kind == "clock":
        figures = {"offset_s": chance.choice(CLOCK_S)}
    seconds = chance.uniform(*HELD_S)
    if kind == "failsync" and chance.random() < 0.5:
        seconds = ONCE_S
    return Plan(kind=kind, shape=shape, seconds=seconds, victims=hit, figures=figures)


def _corrupt(kind: str, scene: Scene, chance: random.Random) -> Plan | None:
    """One, so that together with what another fault holds there is still a majority of intact
    files; how is drawn with the file."""
    if not scene.free:
        return None
    shape, hit = victims(scene, chance, most=1)
    return Plan(kind=kind, shape=shape, seconds=0.0, victims=hit, how=chance.choice(DAMAGES))


def _transfer(kind: str, scene: Scene, chance: random.Random) -> Plan:
    """Whoever is asked first; the others, in case that one does not answer."""
    ids = chance.sample(list(scene.ids), len(scene.ids))
    return Plan(kind=kind, shape="asked of", seconds=0.0, victims=tuple(ids))


def _clients(kind: str, scene: Scene, chance: random.Random) -> Plan:
    """Nobody of the peers is hit."""
    shape, share = chance.choice((("few clients", 0.2), ("half of them", 0.5), ("all", 1.0)))
    return Plan(kind=kind, shape=shape, seconds=chance.uniform(*HELD_S), figures={"share": share})


_PLANNERS: Mapping[str, Callable[[str, Scene, random.Random], Plan | None]] = {
    "partition": _partition,
    "flapping": _partition,
    "slow": _flaw,
    "lossy": _flaw,
    "kill": _processes,
    "crashloop": _processes,
    "pause": _processes,
    "restart": _restart,
    "starve": _minority,
    "power": _power,
    "diskfull": _disks,
    "slowsync": _disks,
    "failsync": _disks,
    "corrupt": _corrupt,
    "clock": _disks,
    "transfer": _transfer,
    "clients": _clients,
}
KINDS = tuple(_PLANNERS)
