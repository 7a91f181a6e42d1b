"""`replicante queue`."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request

import pytest
from cli_harness import Terminal, api_in_thread

from replicante import errors, limits
from replicante.cli.exits import Exit
from replicante.cli.root import execute
from replicante.client.queues import Queues
from replicante.state import apply_queue, queue_queries
from replicante.testing.fake_peer import FakePeer


@pytest.fixture
def terminal(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with api_in_thread(FakePeer()) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def shown(terminal, *arguments):
    said = terminal.run("queue", *arguments, "-o", "json")
    assert said.code == 0, said
    return json.loads(said.out)


def test_a_job_is_sent_peeked_at_and_received(terminal):
    added = shown(terminal, "send", "mail", '{"to": "ada"}', "--priority", "5")
    assert added["is_new"]
    assert "mail" in terminal.run("queue", "list").out
    assert '{"to":"ada"}' in terminal.run("queue", "peek", "mail").out
    received = terminal.run("queue", "receive", "mail")
    assert (received.code, added["id"] in received.out) == (0, True)
    assert shown(terminal, "list") == []


def test_a_received_job_may_be_kept(terminal):
    shown(terminal, "send", "mail", "1")
    (kept,) = shown(terminal, "receive", "mail", "--keep", "5m")
    assert kept["expires_in"] == "5m"
    assert shown(terminal, "list")[0]["claimed"] == 1
    assert shown(terminal, "receive", "mail") == []


def test_a_job_that_could_not_be_printed_is_not_acknowledged(terminal, monkeypatch):
    shown(terminal, "send", "mail", "1")
    reading, writing = os.pipe()
    os.close(reading)
    closed = os.fdopen(writing, "w")
    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr("sys.stdout", closed)
        execute(["queue", "receive", "mail"])
    assert ended.value.code != 0
    with contextlib.suppress(BrokenPipeError):
        closed.close()
    assert shown(terminal, "list")[0]["claimed"] == 1


def test_a_job_whose_acknowledgement_fails_was_printed(terminal, monkeypatch):
    added = shown(terminal, "send", "mail", "1")

    async def unknown(*_, **__):
        raise errors.OutcomeUnknown()

    monkeypatch.setattr(Queues, "ack", unknown)
    said = terminal.run("queue", "receive", "mail")
    assert (said.code, added["id"] in said.out) == (Exit.OUTCOME_UNKNOWN, True)


def give_back(job, *, reason):
    """As a worker does that could not do it."""
    url = f"{os.environ['REPLICANTE_ENDPOINTS']}/api/v0/queues/mail/jobs/{job['id']}/nack"
    body = json.dumps({"token": job["token"], "reason": reason}).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(url, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert answer.status == 200


def moved(count, *, left):
    return {"moved": count, "left": left, "next": None}


def make_dead_letter(terminal, body, *, reason):
    shown(terminal, "send", "mail", body, "--max-attempts", "1")
    (job,) = shown(terminal, "receive", "mail", "--keep", "5m")
    give_back(job, reason=reason)
    return job["id"]


def test_a_dead_letter_is_shown_with_its_end_and_waits_again_when_it_is_driven_back(terminal):
    dead = make_dead_letter(terminal, '"to ada"', reason="the relay is down")
    assert shown(terminal, "list")[0]["dead"] == 1
    said = terminal.run("queue", "dlq", "mail")
    assert (said.code, dead in said.out) == (0, True)
    assert "nack: the relay is down" in said.out and '"to ada"' in said.out
    (letter,) = shown(terminal, "dlq", "mail")
    assert [(it["attempt"], it["how"]) for it in letter["history"]] == [(1, "nack")]
    assert shown(terminal, "peek", "mail") == []
    assert shown(terminal, "redrive", "mail") == moved(1, left=0)
    assert shown(terminal, "dlq", "mail") == []
    assert dead in terminal.run("queue", "receive", "mail").out


def test_only_the_named_dead_letters_are_driven_back(terminal):
    kept = make_dead_letter(terminal, "1", reason="x")
    named = make_dead_letter(terminal, "2", reason="y")
    said = terminal.run("queue", "redrive", "mail", named)
    assert said.code == 0
    assert said.out.split() == ["redriven", "1", "left", "1"]
    assert [it["id"] for it in shown(terminal, "dlq", "mail")] == [kept]
    assert [it["id"] for it in shown(terminal, "peek", "mail")] == [named]


def test_a_body_that_is_no_json_is_a_wrong_usage(terminal):
    said = terminal.run("queue", "send", "mail", "hello")
    assert said.code == 2
    assert "BODY is not JSON" in said.err and "--text" in said.err
    shown(terminal, "send", "mail", "hello", "--text")
    assert shown(terminal, "peek", "mail")[0]["body"] == "hello"


def test_a_job_is_counted_in_one_column(terminal):
    for more in ([], ["--delay", "10m"], ["--group", "g"], ["--group", "g"]):
        shown(terminal, "send", "mail", "1", *more)
    shown(terminal, "receive", "mail", "--keep", "5m")
    head, row = terminal.run("queue", "list").out.splitlines()
    counts = dict(zip(head.split(), row.split(), strict=True))
    assert {name: counts[name] for name in ("READY", "LATER", "CLAIMED", "DEAD")} == {
        "READY": "1",
        "LATER": "2",
        "CLAIMED": "1",
        "DEAD": "0",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--delay", "31d"), "a delay is 0s to 30d, not 31d"),
        (("--priority", "101"), "a priority is -100 to 100, not 101"),
        (("--max-attempts", "0"), "the number of attempts is 1 to 1000, not 0"),
    ],
)
def test_a_bound_is_told_in_the_words_of_the_option(terminal, arguments, said):
    refused = terminal.run("queue", "send", "mail", "1", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


def test_a_queue_is_paused_and_resumed(terminal):
    shown(terminal, "send", "mail", "1")
    assert terminal.run("queue", "pause", "mail", "--reason", "relay down").code == 0
    assert "relay down" in terminal.run("queue", "list").out
    assert shown(terminal, "receive", "mail") == []
    assert terminal.run("queue", "resume", "mail").code == 0
    assert len(shown(terminal, "receive", "mail")) == 1


@pytest.fixture
def small(monkeypatch):
    """Portions of two jobs, which pass three rows at most; pages of two."""
    monkeypatch.setattr(limits, "QUEUE_STEP_JOBS_MAX", 2)
    monkeypatch.setattr(limits, "PAGE_ITEMS_MAX", 2)
    monkeypatch.setattr(apply_queue, "JOBS_LOOKED_AT_MAX", 3)
    monkeypatch.setattr(queue_queries, "JOBS_LOOKED_AT_MAX", 3)


def test_a_purge_and_a_look_find_what_waits_behind_dead_letters(terminal, small):
    dead = [make_dead_letter(terminal, str(number), reason="x") for number in range(7)]
    later = [shown(terminal, "send", "mail", "1", "--delay", "10m")["id"] for _ in range(5)]
    assert [it["id"] for it in shown(terminal, "peek", "mail")] == later
    assert [it["id"] for it in shown(terminal, "dlq", "mail")] == dead
    assert shown(terminal, "purge", "mail", "--limit", "3", "--reason", "x")["moved"] == 3
    assert shown(terminal, "purge", "mail", "--reason", "test data") == moved(2, left=0)
    assert shown(terminal, "purge", "mail", "--dead", "--reason", "x") == moved(7, left=0)


@pytest.mark.parametrize("verb", ["peek", "dlq"])
def test_a_look_that_ends_before_the_jobs_do_says_so(terminal, small, verb):
    for number in range(3):
        make_dead_letter(terminal, str(number), reason="x")
        shown(terminal, "send", "mail", str(number), "--delay", "10m")
    said = terminal.run("queue", verb, "mail", "--limit", "2", "-o", "json")
    assert len(json.loads(said.out)) == 2
    assert said.err == "These are the oldest 2; for more: --limit 20\n"
    said = terminal.run("queue", verb, "mail", "--limit", "3", "-o", "json")
    assert (len(json.loads(said.out)), said.err) == (3, "")


def test_dead_letters_are_driven_back_to_the_last_or_to_the_limit(terminal, small):
    dead = [make_dead_letter(terminal, str(number), reason="x") for number in range(9)]
    done = shown(terminal, "redrive", "mail", "--limit", "3")
    assert (done["moved"], done["left"]) == (3, 6)
    assert shown(terminal, "redrive", "mail", *dead[5:]) == moved(4, left=2)
    assert shown(terminal, "redrive", "mail") == moved(2, left=0)


def test_a_purge_goes_on_until_nothing_waits(terminal):
    for number in range(3):
        shown(terminal, "send", "mail", str(number))
    assert shown(terminal, "purge", "mail", "--reason", "test data") == moved(3, left=0)
    assert shown(terminal, "dlq", "mail") == []
    assert shown(terminal, "redrive", "mail") == moved(0, left=0)
