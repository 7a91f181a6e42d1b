"""What the processes of a local cluster are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from replicante.config_load import load
from replicante.config_schema import settings
from replicante.dev_plan import check_folders, plan_peers
from replicante.errors import Invalid


def plans(**changes):
    wanted = {
        "peers_count": 3,
        "data_dir": Path("/d"),
        "http_port": 16016,
        "raft_port": 16116,
        "log_format": "console",
    }
    return plan_peers(**(wanted | changes))


def test_peers_have_names_ports_and_folders_in_a_row():
    found = plans()
    assert [plan.id for plan in found] == ["p1", "p2", "p3"]
    assert [plan.url for plan in found] == [f"http://127.0.0.1:{16016 + n}" for n in range(3)]
    assert [plan.data_dir for plan in found] == [Path(f"/d/p{n}") for n in (1, 2, 3)]


@pytest.mark.parametrize("count", [1, 3, 5, 15])
def test_every_peer_accepts_its_own_settings_and_all_agree_on_the_members(count):
    flags = {setting.flag: setting.name for setting in settings()}
    members = []
    for plan in plans(peers_count=count):
        options = plan.arguments[1:]
        given = {flags[flag]: text for flag, text in zip(options[::2], options[1::2], strict=True)}
        config = load(file=None, environment={}, flags=given).config
        assert (config.peer.id, config.data_dir) == (plan.id, plan.data_dir)
        assert config.http_listen.port == plan.http_port
        members.append(config.voters)
    assert all(voters == members[0] for voters in members)
    assert len(members[0]) == count


def test_the_command_line_starts_the_peer_again_in_a_shell():
    plan = plans(data_dir=Path("/with space"))[0]
    assert shlex.split(plan.command_line) == ["replicante", *plan.arguments]


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"peers_count": 0}, "--peers"),
        ({"peers_count": 16}, "--peers"),
        ({"http_port": 0}, "--http-port"),
        ({"http_port": 65_534}, "--http-port"),
        ({"raft_port": 70_000}, "--raft-port"),
        ({"raft_port": 16_018}, "--raft-port"),
        ({"raft_port": 16_014}, "--raft-port"),
    ],
)
def test_ports_that_do_not_fit_are_refused_by_option(changes, option):
    with pytest.raises(Invalid) as caught:
        plans(**changes)
    assert caught.value.path == option


def test_a_cluster_is_not_started_with_fewer_peers_than_it_has():
    check_folders(["p1", "p2", "p3", "notes"], plans(), Path("/d"))
    check_folders([], plans(), Path("/d"))
    with pytest.raises(Invalid, match="p4, p5") as caught:
        check_folders(["p1", "p2", "p3", "p4", "p5"], plans(), Path("/d"))
    assert "--peers 5" in caught.value.hints[0]
