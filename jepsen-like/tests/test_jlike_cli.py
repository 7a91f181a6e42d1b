"""Words to options, and what each end of the command says to a script."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess

import pytest

from jlike import canary, canary_servers, canary_stock, cli, equipment, store
from jlike.runner import Options
from jlike.verdict import Finding, Verdict


@pytest.fixture
def verdict():
    return Verdict.VALID


@pytest.fixture
def made(monkeypatch, tmp_path, verdict):
    found: list[Options] = []

    def conduct(options: Options, at):
        found.append(options)
        finding = Finding(checker="c", verdict=verdict, reason="r")
        folder = tmp_path / str(len(found))
        folder.mkdir()
        return store.Run(folder=folder, options=options, findings=[("register", finding)])

    monkeypatch.setattr(store, "conduct", conduct)
    monkeypatch.setattr(canary_servers, "must_sing", list)
    return found


def test_a_run_is_made_as_it_was_told(made):
    words = "run -w lock,bank -n kill --peers 5 --time 2m --clients 9 --rate 30 --seed 4"
    assert cli.main(words.split()) == 0
    assert made == [
        Options(
            workloads=["lock", "bank"],
            nemeses=["kill"],
            peers=5,
            time_s=120,
            clients=9,
            rate=30,
            seed=4,
            urls=[],
        )
    ]


@pytest.mark.parametrize(
    ("verdict", "code"), [(Verdict.VALID, 0), (Verdict.INVALID, 1), (Verdict.UNKNOWN, 2)]
)
@pytest.mark.parametrize("words", ["run", "all --time 0.01 -w lock -n kill"])
def test_a_verdict_is_an_exit_code(made, verdict, code, words, capsys):
    assert cli.main(words.split()) == code
    assert made
    assert verdict.upper() in capsys.readouterr().out


@pytest.mark.parametrize(
    "more",
    [
        ["-n", "kill,slow"],
        ["-n", "none", "--rate", "0.123456789", "--time", "1234567.5"],
        ["--program", "sh -c 'exec a b' --x"],
        ["--package", "/a folder/it's here; rm -rf", "--environment", "relays"],
        ["--url", "http://a?x=1&y=$z,http://b", "--fault-command", "sh -c 'it \"$1\"' $HOME"],
    ],
)
def test_what_is_told_makes_the_same_run_again(made, more):
    assert cli.main(["run", "-w", "lock", "--time", "2.5", "--seed", "4", *more]) == 0
    told = store.command_of(made[0])
    assert cli.main(shlex.split(told)[1:]) == 0
    assert made[0] == made[1]
    said = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\0' {told}"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split("\0")[:-1] == shlex.split(told), "a shell reads it as it is meant"


def test_a_copy_is_told_by_a_place_that_is_the_same_everywhere(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "--package", "copy"]) == 0
    assert made[0].package == str(tmp_path / "copy")


def test_a_cluster_of_others_gets_no_faults_unless_it_is_told_how(made):
    assert cli.main(["run", "--url", "http://a,http://b"]) == 0
    assert (made[0].nemeses, made[0].peers) == ([], 2)
    assert cli.main(["run", "--url", "http://a", "-n", "kill"]) == 3
    words = ["run", "--url", "http://a", "-n", "unplug,flood", "--fault-command", "./fault.sh"]
    assert cli.main(words) == 0
    assert (made[1].nemeses, made[1].fault_command) == (["unplug", "flood"], "./fault.sh")


@pytest.mark.parametrize(
    "words",
    [
        "run -w nonsense",
        "run -n nonsense",
        "run --peers 0",
        "run --time soon",
        "run --fault-command x",
        "all -n none --time 1",
        "nonsense",
        "",
    ],
)
def test_a_typing_mistake_is_no_verdict(made, words):
    try:
        code = cli.main(words.split())
    except SystemExit as end:
        code = end.code
    assert code == cli.HARNESS_BROKE
    assert not made


def test_a_defect_of_the_suite_is_no_verdict(monkeypatch, capsys):
    def conduct(options: Options, at):
        raise RuntimeError("a defect")

    monkeypatch.setattr(store, "conduct", conduct)
    assert cli.main(["run"]) == cli.HARNESS_BROKE
    assert "a defect" in capsys.readouterr().err


@pytest.fixture
def hangup():
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("before", "code"), [(signal.SIG_DFL, cli.HARNESS_BROKE), (signal.SIG_IGN, 0)]
)
def test_a_terminal_that_is_gone_ends_a_run_once_unless_that_was_to_be_ignored(
    monkeypatch, hangup, before, code, capsys
):
    """It says so twice, by itself and through its shell."""
    ways_out: list[str] = []

    def must_sing() -> list[str]:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            ways_out.append("all")
        return []

    monkeypatch.setattr(canary, "must_sing", must_sing)
    monkeypatch.setattr(canary_servers, "must_sing", list)
    monkeypatch.setattr(canary_stock, "why_not", lambda: "")
    monkeypatch.setattr(canary_stock, "sings", lambda *_, **__: "it does")
    signal.signal(signal.SIGHUP, before)
    assert cli.main(["canary"]) == code
    assert ways_out == ["all"]
    assert ("interrupted" in capsys.readouterr().err) == (code != 0)


def test_a_campaign_ends_with_its_time(made, capsys):
    assert cli.main(["all", "--time", "0.2", "-w", "lock", "-n", "kill", "--seed", "1"]) == 0
    assert made
    assert "pairs of workload and fault that never met: 0" in capsys.readouterr().out


def test_a_campaign_leaves_out_what_the_machine_cannot_make_and_says_so(made, monkeypatch, capsys):
    monkeypatch.setattr(equipment, "missing", lambda kinds: {"power": "no loop devices"})
    words = ["all", "--time", "0.2", "-w", "lock", "-n", "kill,power", "--seed", "1"]
    assert cli.main(words) == 0
    assert {it for options in made for it in options.nemeses} == {"kill"}
    said = capsys.readouterr().out.splitlines()
    assert "left out: power: no loop devices" in said
    assert "pairs of workload and fault that never met: 0" in said[-2]
    assert said[-1] == "not tested, because this machine cannot: power"


def test_a_campaign_of_nothing_that_can_be_made_is_none(made, monkeypatch):
    monkeypatch.setattr(equipment, "missing", lambda kinds: {"power": "no loop devices"})
    assert cli.main(["all", "--time", "1", "-w", "lock", "-n", "power"]) == cli.HARNESS_BROKE
    assert not made
