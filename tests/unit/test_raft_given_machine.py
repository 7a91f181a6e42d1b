"""What a peer may be given to replicate, and what it says of anything else."""

from __future__ import annotations

import pytest
from raft_harness import ListMachine

from replicante.errors import StartRefused
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.peer_driver import open_machine
from replicante.testing.builders import LoneState


class Callable(ListMachine):
    """A machine in memory that can be called for reasons of its own."""

    def __call__(self):
        raise AssertionError("it is no factory")


@pytest.mark.parametrize("given", [ListMachine(), Callable()])
def test_three_functions_are_kept_in_memory(tmp_path, given):
    machine = open_machine(given, "a" * 32, data_dir=tmp_path)
    assert isinstance(machine, InMemoryMachine)


def test_a_machine_on_disk_is_taken_as_it_is(tmp_path):
    machine = LoneState().machine
    assert open_machine(machine, "a" * 32, data_dir=tmp_path) is machine


def test_a_factory_is_told_the_incarnation(tmp_path):
    machine, told = LoneState().machine, []

    def made(incarnation):
        told.append(incarnation)
        return machine

    assert open_machine(made, "a" * 32, data_dir=tmp_path) is machine
    assert told == ["a" * 32]


def test_what_is_half_a_machine_is_refused_before_anything_is_committed(tmp_path):
    class Half:
        applied_index = durable_index = 0

        def apply(self, command):
            return command

    with pytest.raises(StartRefused, match="Half is no state machine") as refused:
        open_machine(Half(), "a" * 32, data_dir=tmp_path)
    assert "export, flush, install" in str(refused.value.hints)
