"""A case with a name for every way in which apply refuses a command; for test_state_refusals.py."""

from __future__ import annotations

from collections.abc import Callable

from replicante.ids import make_stamp
from replicante.limits import (
    CONSUMER_SILENCE_MS_MAX,
    CONSUMERS_MAX,
    IDEMPOTENCY_WINDOW_MS,
    TXN_ANSWER_BYTES_MAX,
)
from replicante.model.action_requests import ActionOn
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.commands import KvGet, KvPut, KvTxn, SetEventRetention, SetFeatureLevel
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import RejectCode
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordChange,
    RecordCycle,
    RequestWork,
)
from replicante.testing.builders import (
    CheckedState,
    cluster_document,
    kv_delete,
    kv_put,
    platform_document,
    put_namespace,
    put_object,
)

FOR_EVER = 1 << 40
ID = "00000000-0000-8000-8000-000000000001"
ONE, EMPTY = encode_value(1), encode_value({})
CLUSTER = ("n", "r")

Case = Callable[[CheckedState], object]
CASES: dict[str, tuple[Case, RejectCode]] = {}


def case(code: RejectCode) -> Callable[[Case], Case]:
    """The last thing that the case does is refused with this code."""

    def note(make: Case) -> Case:
        CASES[make.__name__] = (make, code)
        return make

    return note


def with_cluster(state: CheckedState) -> CheckedState:
    state.do(put_namespace("n"))
    state.do(put_object(cluster_document("r", ns="n")))
    return state


def acquire(state: CheckedState, name: str = "l") -> int:
    return state.do(LeaseAcquire(name, 30_000, EMPTY)).revision


def fence(state: CheckedState, *, on: FenceOn = FenceOn.CLUSTER, name: str = "r") -> Fence:
    return Fence(on, "n", name, acquire(state, lease_name(on, "n", name)))


def create(action_id: str = ID, kind: str = "a/b") -> CreateAction:
    body = {"kind": kind, "args": None, "metadata": {}, "node_id": "n1"}
    return CreateAction(ActionOn.NODE, (*CLUSTER, action_id), encode_value(body), True)


def naction(*, seen: int, phase: str) -> RecordChange:
    value = encode_value({"phase": phase, "node_id": "n1"})
    code = ChangeCode.NACTION_SYNC_UPDATE
    return RecordChange(RecordKind.NACTION, (*CLUSTER, ID), seen, value, code)


def node(*, seen: int | None = None, cluster: str = "r") -> RecordChange:
    names = ("n", cluster, "n1")
    return RecordChange(RecordKind.NODE, names, seen, EMPTY, ChangeCode.NODE_SYNC_NEW)


@case(RejectCode.REVISION_MISMATCH)
def put_over_a_record_that_is_not_as_expected(state):
    state.do(kv_put("k", 1))
    return state.do(kv_put("k", 2, expect=Expect.absent()))


@case(RejectCode.REVISION_MISMATCH)
def put_of_an_object_that_is_not_as_expected(state):
    return state.do(put_namespace("n", expect=Expect.present()))


@case(RejectCode.REVISION_MISMATCH)
def deletion_of_an_object_that_is_not_as_expected(state):
    state.do(put_namespace("n"))
    return state.do(DeleteObject(ObjectKind.NAMESPACE, ("n",), Expect.at(make_stamp(9, 9))))


@case(RejectCode.REVISION_MISMATCH)
def consumer_that_is_not_as_expected(state):
    return state.do(PutConsumer("c", None, Expect.present()))


@case(RejectCode.REVISION_MISMATCH)
def deletion_of_a_consumer_that_is_not_as_expected(state):
    return state.do(DeleteConsumer("c", Expect.present()))


@case(RejectCode.NOT_FOUND)
def deletion_of_no_record(state):
    return state.do(kv_delete("k"))


@case(RejectCode.STALE_TOKEN)
def put_bound_to_a_lease_that_nobody_holds(state):
    return state.do(KvPut(b"k", ONE, None, 7))


@case(RejectCode.ANSWER_TOO_LARGE)
def transaction_that_reads_too_much(state):
    state.do(kv_put("k", "x" * (TXN_ANSWER_BYTES_MAX * 2 // 3)))
    return state.do(KvTxn((), (KvGet(b"k"), KvGet(b"k"))))


@case(RejectCode.IDEMPOTENCY_KEY_REUSED)
def key_that_came_with_another_command(state):
    state.do(kv_put("k", 1), idempotency_key="i")
    return state.do(kv_put("k", 2), idempotency_key="i")


@case(RejectCode.FIRST_ATTEMPT_IN_FUTURE)
def first_attempt_that_is_later_than_now(state):
    return state.do(kv_put("k", 1), idempotency_key="i", first_attempt_ms=state.clock_ms + 1)


@case(RejectCode.OUTCOME_EXPIRED)
def first_attempt_that_is_too_old(state):
    first_ms = state.clock_ms
    state.do(kv_put("k", 1), idempotency_key="i")
    state.advance(IDEMPOTENCY_WINDOW_MS)
    state.tick()
    return state.do(kv_put("k", 1), idempotency_key="i", first_attempt_ms=first_ms)


@case(RejectCode.FEATURE_LEVEL_NOT_ABOVE)
def feature_level_that_is_there(state):
    return state.do(SetFeatureLevel(1))


@case(RejectCode.LEASE_HELD)
def lease_that_somebody_holds(state):
    acquire(state)
    return state.do(LeaseAcquire("l", 5_000, EMPTY))


@case(RejectCode.STALE_TOKEN)
def renewal_of_a_lease_that_is_over(state):
    token = acquire(state)
    state.advance(30_000)
    state.tick()
    return state.do(LeaseRenew("l", token))


@case(RejectCode.STALE_TOKEN)
def release_with_the_token_of_another_grant(state):
    return state.do(LeaseRelease("l", acquire(state) + 1))


@case(RejectCode.NOT_FOUND)
def forced_release_of_what_nobody_holds(state):
    return state.do(LeaseForceRelease("l", "why"))


@case(RejectCode.UNKNOWN_SCOPE)
def cluster_without_a_namespace(state):
    return state.do(put_object(cluster_document("r", ns="n")))


@case(RejectCode.BEING_DELETED)
def cluster_in_a_namespace_that_is_deleting(state):
    state.do(put_namespace("n", finalisers=("x",)))
    state.do(DeleteObject(ObjectKind.NAMESPACE, ("n",)))
    return state.do(put_object(cluster_document("r", ns="n")))


@case(RejectCode.BEING_DELETED)
def change_of_an_object_that_is_deleting(state):
    state.do(put_namespace("n", finalisers=("x",)))
    state.do(DeleteObject(ObjectKind.NAMESPACE, ("n",)))
    return state.do(put_namespace("n", finalisers=("x", "y")))


@case(RejectCode.NOT_FOUND)
def deletion_of_no_object(state):
    return state.do(DeleteObject(ObjectKind.NAMESPACE, ("n",)))


@case(RejectCode.NOT_FOUND)
def deletion_of_no_consumer(state):
    return state.do(DeleteConsumer("c"))


@case(RejectCode.CONSUMER_EXPIRED)
def consumer_that_was_silent(state):
    state.do(PutConsumer("c"))
    state.advance(CONSUMER_SILENCE_MS_MAX)
    state.tick()
    return state.do(PutConsumer("c"))


@case(RejectCode.HISTORY_GONE)
def consumer_below_the_floor(state):
    state.do(SetEventRetention(1, FOR_EVER, FOR_EVER))
    for number in range(5):
        state.do(kv_put("k", number))
    return state.do(PutConsumer("c", 1))


@case(RejectCode.HISTORY_FORKED)
def consumer_within_what_a_recovery_cut(state):
    state.do(kv_put("k", 1))
    lost = make_stamp(state.applied_index + 5, 1)
    state.recover(1)
    state.do(kv_put("k", 2))
    return state.do(PutConsumer("c", lost))


@case(RejectCode.TOO_MANY_CONSUMERS)
def one_consumer_too_many(state):
    for number in range(CONSUMERS_MAX):
        state.do(PutConsumer(f"c{number}"))
    return state.do(PutConsumer("c"))


@case(RejectCode.UNKNOWN_SCOPE)
def action_without_a_cluster(state):
    state.do(put_namespace("n"))
    return state.do(create())


@case(RejectCode.BEING_DELETED)
def action_on_a_cluster_that_is_deleting(state):
    with_cluster(state).do(create())
    state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, CLUSTER))
    return state.do(create(action_id=ID.replace("1", "2")))


@case(RejectCode.ACTION_EXISTS)
def action_with_the_id_of_another(state):
    with_cluster(state).do(create())
    return state.do(create(kind="a/other"))


@case(RejectCode.NOT_FOUND)
def step_of_no_action(state):
    return state.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL))


@case(RejectCode.NOT_FOUND)
def step_of_an_action_on_another_node(state):
    with_cluster(state).do(create())
    return state.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n2", ID), ActionVerb.CANCEL))


@case(RejectCode.WRONG_PHASE)
def approval_of_what_does_not_wait_for_it(state):
    with_cluster(state).do(create())
    return state.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.APPROVE))


@case(RejectCode.NOT_FOUND)
def request_for_no_cluster(state):
    return state.do(RequestWork(FenceOn.CLUSTER, *CLUSTER))


@case(RejectCode.NOT_FOUND)
def confirmation_of_nothing(state):
    return state.do(ConfirmDiscovery(*CLUSTER, ("n1",)))


@case(RejectCode.RECORD_CHANGED)
def confirmation_of_other_nodes(state):
    found = {"agent_address": "http://n1", "node_class": "x", "node_id": "n1"}
    held = {"nodes": [], "reason": "many", "since_ms": 1, "seen_count": 3}
    value = {"ns_id": "n", "cluster_id": "r", "nodes": [found], "platform": "f", "held": held}
    code = ChangeCode.CLUSTER_DISCOVERY_HELD
    change = RecordChange(RecordKind.CLUSTER_DISCOVERY, CLUSTER, None, encode_value(value), code)
    with_cluster(state)
    state.do(RecordCycle(fence(state), (change,)))
    return state.do(ConfirmDiscovery(*CLUSTER, ("n2",)))


@case(RejectCode.NOT_FOUND)
def removal_of_records_of_a_cluster_that_stays(state):
    return with_cluster(state).do(DropRecords(*CLUSTER))


@case(RejectCode.STALE_TOKEN)
def cycle_under_a_fence_that_nobody_holds(state):
    return with_cluster(state).do(RecordCycle(Fence(FenceOn.CLUSTER, *CLUSTER, 7), ()))


@case(RejectCode.NOT_FOUND)
def cycle_of_no_cluster(state):
    return state.do(RecordCycle(fence(state), ()))


@case(RejectCode.BEING_DELETED)
def cycle_of_a_cluster_that_is_deleting(state):
    with_cluster(state).do(create())
    state.do(DeleteObject(ObjectKind.CLUSTER_SPEC, CLUSTER))
    return state.do(RecordCycle(fence(state), ()))


@case(RejectCode.RECORD_CHANGED)
def cycle_over_another_declaration(state):
    with_cluster(state)
    return state.do(RecordCycle(fence(state), (), under=(7, 7)))


@case(RejectCode.RECORD_CHANGED)
def cycle_over_a_record_that_changed(state):
    with_cluster(state)
    return state.do(RecordCycle(fence(state), (node(seen=7),)))


@case(RejectCode.UNKNOWN_SCOPE)
def discovery_of_no_cluster(state):
    state.do(put_namespace("n"))
    state.do(put_object(platform_document("f", ns="n")))
    names = ("n", "s")
    code = ChangeCode.CLUSTER_DISCOVERY_NEW
    change = RecordChange(RecordKind.CLUSTER_DISCOVERY, names, None, EMPTY, code)
    return state.do(RecordCycle(fence(state, on=FenceOn.PLATFORM, name="f"), (change,)))


@case(RejectCode.WRONG_PHASE)
def cycle_with_a_step_that_an_action_cannot_take(state):
    made = with_cluster(state).do(create())
    change = naction(seen=made.revision, phase="LOST")
    return state.do(RecordCycle(fence(state), (change,)))
