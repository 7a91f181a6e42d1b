"""What schemathesis cannot read off the OpenAPI description. Loaded by it; written for `fuzz`.

Rules: a request that the description allows is changed only where the description says in words
what JSON Schema cannot say, and each such place is listed in WORDS. Of these requests every second
one that names a cluster, a platform or an action names one that is there. Requests that break the
description are sent as they are, but for long waits, short deadlines, and the removal of a peer
that is asked.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Iterator
from typing import Any

import fuzz_world
import msgpack
import schemathesis
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from schemathesis.generation.jsonschema import strategy as generator

from replicante.api.openapi import openapi_document
from replicante.api.routes import ROUTES
from replicante.ids import STAMP_MAX, format_stamp
from replicante.limits import INTEGER_MAX, INTEGER_MIN
from replicante.wire.durations import format_duration_ms, parse_duration_ms

WORDS = {
    "integers": "a number without fraction is an integer of 64 bits, written without a point",
    "cursor": "a cursor is `next` of a page of the same list, never invented",
    "conditions": "If-Match and If-None-Match exclude each other, as do if_match and is_new",
    "first attempt": "Replicante-First-Attempt-Ms goes with an Idempotency-Key that was used",
    "bounded": "max_stale_ms goes with consistency=bounded, and a copy may be older than asked",
    "before": "pages backwards take no after, wait or Last-Event-ID",
    "index": "an index that no entry has is waited for",
    "transaction": "a transaction holds at least one comparison or operation",
    "place": "dead letters that are named by their ids come after no other ones",
    "carried": "what comes with an acknowledgement has no condition",
    "kinds": "what the metadata and spec of an object hold is said by its kind",
    "owner": "the attributes of an owner are at most 4 KiB",
}
"""What the description says in words. A request that schemathesis believes to be valid is made to
keep these."""

WAIT = "50ms"
"""Instead of the minutes that a wait may last."""
NO_MEMBER = "p99"
"""Instead of one of the peers under test, which are p1, p2 and so on, when one is removed."""
TIMEOUT = "10s"
"""Instead of a shorter one: a deadline of 1 ms ends before the answer, and that is a 504."""
TIMEOUT_MS = 10_000
LOW_INDEX = 2
BRANCHES = ("compares", "then", "otherwise")
_repeated = generator._repeated


def _repeated_or_nothing(*args: Any, **kwargs: Any) -> st.SearchStrategy[Any]:
    """The pinned schemathesis takes elements that contradict themselves for an error where it has
    begun to draw from them, and leaves them out where it has not."""
    try:
        return _repeated(*args, **kwargs)
    except schemathesis.errors.InvalidSchema as error:
        cause = error.__cause__
        if isinstance(cause, InvalidArgument) and "it has no values" in str(cause):
            return st.nothing()
        raise


generator._repeated = _repeated_or_nothing

NAMESPACE = {
    "apiVersion": "replicante.io/v0",
    "kind": "Namespace",
    "metadata": {"name": "fuzz"},
}


def register() -> None:
    ascii_text = st.text(string.ascii_letters + string.digits + "._-~ /%?#", min_size=1)
    wild_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=32)
    names = st.one_of(ascii_text.map(lambda text: text[:96]), wild_text)
    for known in ("name", "kv-key", "text", "reason"):
        schemathesis.openapi.format(known, names)
    schemathesis.openapi.format("prefix", st.one_of(st.just(""), names))
    stamps = st.integers(min_value=1, max_value=STAMP_MAX)
    for known in ("stamp", "token", "index"):
        schemathesis.openapi.format(known, stamps.map(format_stamp))
    schemathesis.openapi.format(
        "if-match", st.one_of(st.just("*"), stamps.map(lambda one: f'"{one:019}"'))
    )
    schemathesis.openapi.format("after-index", st.integers(0, 1 << 40).map("index:{}".format))
    schemathesis.openapi.format("cursor", st.just(""))
    schemathesis.openapi.format("label-selector", st.sampled_from(["", "a=b", "a!=b,c", "!x/y"]))
    schemathesis.openapi.format(
        "address", st.integers(1, 65_535).map(lambda port: f"127.0.0.1:{port}")
    )
    for found in set(_duration_formats(openapi_document(ROUTES, version="1"))):
        low, high = (parse_duration_ms(text) for text in found.split(":")[1:])
        schemathesis.openapi.format(found, st.integers(low, high).map(format_duration_ms))


def _duration_formats(node: Any) -> Iterator[str]:
    """Every `duration:LOW:HIGH` of the description."""
    if isinstance(node, dict):
        if str(node.get("format")).startswith("duration:"):
            yield node["format"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _duration_formats(child)


register()


@schemathesis.deserializer("application/msgpack")
def read_msgpack(context: Any, response: Any) -> Any:
    try:
        return msgpack.unpackb(response.content)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError(f"no msgpack: {error}") from error


@schemathesis.serializer("application/msgpack")
def write_msgpack(context: Any, value: Any) -> bytes:
    packed: bytes = msgpack.packb(_plain_numbers(value))
    return packed


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    _fit_times(case)
    _spare_members(case)
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    _name_what_is_there(case)
    _fit_query(case)
    _fit_headers(case)
    if isinstance(case.body, (dict, list)):
        case.body = _plain_numbers(case.body)
        _fit_body(case, case.body)


def _fit_times(case: Any) -> None:
    """Of all requests: an index that no entry has would be waited for until the time is over.
    And a time that is too short for any answer is made longer."""
    for holder in (case.query, case.body):
        if isinstance(holder, dict) and parse_duration_ms(_word(holder.get("wait"))):
            holder["wait"] = WAIT
    query = case.query or {}
    if 0 < (parse_duration_ms(_word(query.get("timeout"))) or 0) < TIMEOUT_MS:
        query["timeout"] = TIMEOUT
    if re.fullmatch("[0-9]+", str(query.get("after_index"))):
        query["after_index"] = int(query["after_index"]) % LOW_INDEX
    if re.fullmatch("index:[0-9]+", str(query.get("after"))):
        query["after"] = "index:1"


def _spare_members(case: Any) -> None:
    """Of all requests: a member that is removed ends, as it should, and nobody is left to ask."""
    if case.method == "DELETE" and case.operation.path.endswith("/raft/peers/{id}"):
        parameters = case.path_parameters or {}
        if re.fullmatch("p[1-9]", str(parameters.get("id"))):
            parameters["id"] = NO_MEMBER


def _name_what_is_there(case: Any) -> None:
    parameters = case.path_parameters or {}
    parameters.update(fuzz_world.known_names(case.method, case.operation.path, parameters))


def _fit_query(case: Any) -> None:
    query = case.query or {}
    if not _is_cursor(query.get("cursor")):
        query.pop("cursor", None)
    if query.get("consistency") != "bounded":
        query.pop("max_stale_ms", None)
    if "max_stale_ms" in query:
        query["max_stale_ms"] = 60_000
    if "before" in query:
        for other in ("after", "wait"):
            query.pop(other, None)
        (case.headers or {}).pop("Last-Event-ID", None)
    if "timeout" in query:
        query["timeout"] = TIMEOUT


def _fit_headers(case: Any) -> None:
    headers = case.headers or {}
    if "If-Match" in headers:
        headers.pop("If-None-Match", None)
    headers.pop("Replicante-First-Attempt-Ms", None)


def _fit_body(case: Any, body: Any) -> None:
    if not isinstance(body, dict):
        return
    if case.operation.path.endswith("/txn") and not any(body.get(one) for one in BRANCHES):
        body["then"] = [{"op": "get", "key": "a"}]
    if case.operation.path.endswith("/redrive") and body.get("ids"):
        body.pop("after", None)
    if body.get("owner"):
        body["owner"] = {"host": "h"}
    for one in body.get("operations") or ():
        if one.get("owner"):
            one["owner"] = {"host": "h"}
        if one["op"] == "object.apply":
            one["object"] = dict(NAMESPACE)
        if one["op"] == "object.delete":
            one.update(kind="Namespace", scope=["fuzz"])
        if "token" in body:
            one.pop("is_new", None)
            one.pop("if_match", None)
        if one.get("is_new"):
            one.pop("if_match", None)


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain_numbers(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_numbers(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int and not INTEGER_MIN <= value <= INTEGER_MAX:
        return value % INTEGER_MAX
    return value


def _is_cursor(text: Any) -> bool:
    """Given by a list before, as far as that can be seen."""
    try:
        packed = base64.urlsafe_b64decode(str(text) + "=" * (-len(str(text)) % 4))
        return isinstance(msgpack.unpackb(packed), list)
    except (ValueError, msgpack.UnpackException):
        return False


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
