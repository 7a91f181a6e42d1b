"""The engine runs on exactly the PySyncObj whose code was read, and says what differs on others."""

from __future__ import annotations

import pytest
from pysyncobj.syncobj import SyncObj

from replicante.errors import UnsupportedEngine
from replicante.raft import engine_check
from replicante.raft.engine import Engine


def test_the_installed_pysyncobj_is_the_one_that_was_read():
    engine_check.check_engine()


def test_another_version_is_refused_with_the_command_that_mends_it(monkeypatch):
    monkeypatch.setattr(engine_check, "VERSION", "0.3.18")
    with pytest.raises(UnsupportedEngine, match=r"version 0\.3\.18 instead of 0\.3\.17") as caught:
        engine_check.check_engine()
    assert caught.value.hints == ("pip install pysyncobj==0.3.17",)


@pytest.mark.parametrize("name", sorted(engine_check.KEPT_FUNCTIONS))
def test_another_body_of_a_kept_function_is_refused_by_its_name(monkeypatch, name):
    def changed(self, *arguments):
        return getattr(SyncObj, name)(self, *arguments)

    monkeypatch.setattr(SyncObj, name, changed)
    with pytest.raises(UnsupportedEngine, match=f"{name} has another body"):
        engine_check.check_engine()


@pytest.mark.parametrize("name", engine_check.REPLACED_FUNCTIONS)
def test_a_missing_name_that_the_engine_replaces_is_refused(monkeypatch, name):
    monkeypatch.delattr(SyncObj, name)
    with pytest.raises(UnsupportedEngine, match=f"{name} is missing"):
        engine_check.check_engine()


@pytest.mark.parametrize("name", engine_check.REPLACED_FUNCTIONS)
def test_what_is_said_to_be_replaced_is_replaced_or_never_reached(name):
    """Messages reach the engine through `receive`; PySyncObj's own reader is never called,
    because its transport hears nothing."""
    assert name == "_SyncObj__onMessageReceived" or getattr(Engine, name) is not getattr(
        SyncObj, name
    )
