"""What a refusal says to people; what it says to programs is the same for every thing."""

from __future__ import annotations

import pytest

from replicante.api.rejections import rejection
from replicante.ids import Stamp
from replicante.model.action_requests import ActionOn
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.commands import KvDelete, KvPut, KvTxn
from replicante.state.expect import Expect
from replicante.state.lease_commands import LeaseForceRelease, LeaseRenew
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import RejectCode, Rejected
from replicante.state.queue_commands import QueueAck, QueueExtend, QueueNack

GONE = Rejected(RejectCode.NOT_FOUND)
NONE = Rejected(RejectCode.REVISION_MISMATCH, {"revision": None})
OTHER = Rejected(RejectCode.REVISION_MISMATCH, {"revision": 65537})
STALE = Rejected(RejectCode.STALE_TOKEN, {"held": None})
STALE_WITHIN = Rejected(RejectCode.STALE_TOKEN, {"held": None, "operation": 0})
ACK = QueueAck("q", 7, 5, (KvPut(b"a", b"\x01", None, Stamp(6)),))
CLUSTER = DeleteObject(ObjectKind.CLUSTER_SPEC, ("shop", "c"), Expect.at(5))


@pytest.mark.parametrize(
    ("refused", "command", "said"),
    [
        (GONE, KvDelete("ä".encode()), "There is no key 'ä'."),
        (GONE, CLUSTER, "There is no ClusterSpec shop/c."),
        (GONE, LeaseForceRelease("l", "why"), "There is no lease 'l'."),
        (
            GONE,
            MoveAction(ActionOn.NODE, ("ns", "c", "n", "id-1"), ActionVerb.CANCEL),
            "There is no NAction id-1.",
        ),
        (NONE, KvPut(b"a", b"\x01", Expect.at(5)), "There is no key 'a'."),
        (OTHER, KvPut(b"a", b"\x01", Expect.absent()), "There is a key 'a' already."),
        (OTHER, CLUSTER, "The ClusterSpec shop/c changed since the revision that the request"),
        (STALE, LeaseRenew("l", 5), "This token does not hold the lease 'l': "),
        (STALE, QueueAck("q", 7, 5), "This token does not hold the job 0000000000000000007: "),
        (STALE, ACK, "This token does not hold the job 0000000000000000007: "),
        (STALE_WITHIN, ACK, "The lease with the token 0000000000000000006 is over."),
        (STALE, ACK.operations[0], "The lease with the token 0000000000000000006 is over."),
        (STALE, QueueNack("q", 7, 5), "This token does not hold the job 0000000000000000007: "),
        (STALE, QueueExtend("q", 7, 5), "This token does not hold the job 0000000000000000007: "),
    ],
)
def test_a_refusal_is_about_the_thing_that_the_command_names(refused, command, said):
    assert rejection(refused, command).message.startswith(said)


@pytest.mark.parametrize(
    ("refused", "command"),
    [
        (GONE, None),
        (STALE, KvTxn((), (KvPut(b"a", b"\x01", None, Stamp(5)),))),
        (Rejected(RejectCode.ANSWER_TOO_LARGE, {"limit": 1}), KvTxn((), ())),
    ],
)
def test_where_it_may_be_about_another_thing_nothing_is_named(refused, command):
    error = rejection(refused, command)
    assert error.message == " ".join(type(error).__doc__.split())


def test_which_operation_of_an_acknowledgement_was_refused_is_a_path():
    assert rejection(STALE_WITHIN, ACK).details == {"held": None, "path": "operations[0]"}
    assert rejection(STALE_WITHIN, None).details == {"held": None, "path": "operations[0]"}


def test_programs_are_told_the_same_of_every_thing():
    error = rejection(OTHER, CLUSTER)
    assert (error.code, error.details) == ("revision_mismatch", {"revision": f"{65537:019}"})
