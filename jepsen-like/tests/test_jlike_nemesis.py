"""Whom faults aim at, and the shapes in which the network is cut."""

from __future__ import annotations

import random
from pathlib import Path

from jlike.nemesis import Nemesis
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder

IDS = [f"p{number}" for number in range(1, 6)]


def _nemesis(folder: Path, seed: int, *, terms: int) -> Nemesis:
    return Nemesis(
        kinds=("partition", "kill"),
        peers=Peers(by_id={it: Peer(id=it, url="") for it in IDS}),
        recorder=Recorder(folder),
        chance=random.Random(seed),
        leader=lambda: "p3",
        terms=lambda: terms,
    )


def test_until_a_leader_changed_all_faults_aim_at_it(tmp_path):
    for seed in range(50):
        nemesis = _nemesis(tmp_path, seed, terms=1)
        assert nemesis._victims() == ["p3"]
        shape, cut = nemesis._pairs()
        assert shape.split()[1] == "p3"
        assert any("p3" in pair for pair in cut)


def test_then_one_a_minority_a_majority_and_all_are_hit(tmp_path):
    sizes = {len(_nemesis(tmp_path, seed, terms=2)._victims()) for seed in range(200)}
    assert sizes == {1, 2, 3, 5}


def test_every_shape_of_cut_comes_up_and_is_what_it_says(tmp_path):
    seen = {}
    for seed in range(300):
        text, cut = _nemesis(tmp_path, seed, terms=2)._pairs()
        shape, *order = text.split()
        seen[shape] = seen.get(shape, 0) + 1
        assert cut
        assert all(one != other for one, other in cut)
        sees = {one: {it for it in IDS if (one, it) not in cut} for one in IDS}
        match shape:
            case "inward":
                assert all(other == order[0] for _, other in cut)
            case "outward":
                assert all(one == order[0] for one, _ in cut)
            case "ring":
                assert all(len(it) == 3 for it in sees.values())
                assert len({frozenset(it) for it in sees.values()}) == 5
            case _:
                assert cut == {(other, one) for one, other in cut}
    assert set(seen) == {"one", "halves", "inward", "outward", "ring", "bridge"}
