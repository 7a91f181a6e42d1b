"""What `jlike doctor` says: every fault that needs more than processes, and how to get that."""

from __future__ import annotations

import pytest

from jlike import doctor, environments, equipment


def said() -> dict[str, doctor.Probe]:
    return {probe.what: probe for probe in doctor.probes()}


def test_every_fault_that_needs_something_is_named():
    hints = " ".join(probe.hint for probe in said().values())
    assert all(kind in hints for kind in equipment.NEEDS)


@pytest.mark.parametrize("need", equipment.Need)
def test_what_cannot_be_had_is_said_with_its_reason_and_how_to_get_it(monkeypatch, need):
    monkeypatch.setattr(equipment, "why_not", lambda asked: "no luck" if asked is need else "")
    probe = said()[need.value]
    assert not probe.is_there
    assert "NOT tested here: no luck" in probe.hint
    assert equipment.HOW_TO_GET[need] in probe.hint
    others = [other for other in equipment.Need if other is not need]
    assert all(said()[other.value].is_there for other in others)


@pytest.mark.parametrize("what", ["nftables", "control groups"])
def test_what_others_need_for_such_faults_is_said_not_to_be_needed(what):
    assert "not needed" in said()[what].hint


def test_without_namespaces_relays_stand_in(monkeypatch):
    monkeypatch.setattr(environments, "why_no_spaces", lambda: "not here")
    probe = said()["network namespaces"]
    assert not probe.is_there
    assert "relays" in probe.hint and "not here" in probe.hint
