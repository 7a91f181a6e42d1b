from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
import pytest
from api_harness import running

from replicante.api.links import LINKS
from replicante.api.negotiate import Media, body_media, choose_media
from replicante.api.openapi import openapi_document
from replicante.api.routes import ROUTES
from replicante.api.routing import Access, Method, Router
from replicante.errors import MethodNotAllowed, NoSuchPath
from replicante.wire.durations import parse_duration_ms
from replicante.wire.headers import IDEMPOTENCY_KEY

CHANGES = (Access.WRITE, Access.OPERATE)
DOCUMENT = msgspec.json.decode(msgspec.json.encode(openapi_document(ROUTES, version="1")))


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def test_every_reference_leads_somewhere():
    for reference in references(DOCUMENT):
        place = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


def test_every_route_is_described_with_its_parameters():
    for route in ROUTES:
        for path in (route.path, *route.aliases):
            operation = DOCUMENT["paths"][path.replace("...}", "}")][route.method.value.lower()]
            assert operation["summary"].endswith(".")
            named = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
            assert named == route.known_parameters
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)", path))
            assert ("requestBody" in operation) == (route.body is not None)
            assert "default" not in operation["responses"]


def shapes(node):
    """Every part of the document that gives examples."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from shapes(child)


def test_every_example_is_what_its_own_shape_allows():
    found = 0
    for shape in shapes(DOCUMENT):
        for example in shape["examples"]:
            if not isinstance(example, str):
                continue
            found += 1
            assert re.search(shape.get("pattern", ""), example), shape
            kind, *bounds = str(shape.get("format")).split(":")
            if kind == "duration":
                low, high = map(parse_duration_ms, bounds)
                assert low <= parse_duration_ms(example) <= high, shape
    assert found > 100


def test_links_lead_to_operations_with_the_parameters_that_they_give():
    operations = {
        one["operationId"]: one for path in DOCUMENT["paths"].values() for one in path.values()
    }
    found = 0
    for operation in operations.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                target = operations[link["operationId"]]
                assert set(link["parameters"]) <= {one["name"] for one in target["parameters"]}
                needed = {one["name"] for one in target["parameters"] if one["in"] == "path"}
                assert needed <= set(link["parameters"])
                found += 1
    by_name = {route.handler.__name__: route for route in ROUTES}
    assert found == sum(len(links) * len(by_name[name].statuses) for name, links in LINKS.items())


def test_only_what_goes_through_the_log_takes_an_idempotency_key():
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path.replace("...}", "}")][route.method.value.lower()]
        named = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        assert (IDEMPOTENCY_KEY in named) == (route.access is Access.WRITE)


def test_operation_ids_are_unique():
    ids = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(set(ids)) == len(ids)


def test_only_writes_take_bodies_and_conditions():
    for route in ROUTES:
        if route.body is not None or route.takes_match:
            assert route.access in CHANGES
        if route.access not in CHANGES:
            assert route.method is Method.GET


async def test_every_described_get_answers():
    async with running() as api:
        for path, operations in DOCUMENT["paths"].items():
            if "get" not in operations or path == "/api/v0/events":
                continue
            filled = re.sub(r"\{kind\}", "namespace", path)
            filled = filled.replace("{queue}/jobs/{id}", "{queue}/jobs/7")
            filled = re.sub(r"\{\w+\}", quote("some-thing"), filled)
            answer = await api.ask("GET", filled)
            assert answer.status in (200, 404), path
            if answer.status == 404:
                answer.problem("not_found", 404)


def test_routes_are_found_as_they_came():
    router = Router(ROUTES)
    match = router.match(method="GET", raw_path="/api/v0/kv/a/../b//")
    assert match.arguments == {"key": "a/../b//"}
    assert router.match(method="GET", raw_path="/api/v0/kv").route.path == "/api/v0/kv"
    for lost in ("/api/v0/kvx/a", "/API/v0/kv/a", "/api//v0/kv/a", "/api/v0/requests/a/b", ""):
        with pytest.raises(NoSuchPath):
            router.match(method="GET", raw_path=lost)
    with pytest.raises(MethodNotAllowed):
        router.match(method="get", raw_path="/api/v0/kv/a")


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, Media.JSON),
        ("", Media.JSON),
        ("*/*", Media.JSON),
        ("application/msgpack", Media.MSGPACK),
        ("application/x-msgpack;q=0.9, application/json;q=0.8", Media.MSGPACK),
        ("application/msgpack;q=0.1, */*", Media.JSON),
        ("text/event-stream", Media.EVENT_STREAM),
        ("text/event-stream, */*;q=0.1", Media.EVENT_STREAM),
        ("text/*", Media.EVENT_STREAM),
        ("application/x-ndjson", Media.NDJSON),
        ("application/problem+json", Media.JSON),
        ("application/msgpack;q=x, application/json", Media.JSON),
    ],
)
def test_the_format_that_the_caller_likes_best_is_chosen(accept, media):
    offered = (Media.JSON, Media.MSGPACK, Media.NDJSON, Media.EVENT_STREAM)
    assert choose_media(accept, offered=offered) is media


def test_a_body_is_json_or_msgpack():
    assert body_media("application/json;charset=utf-8") is Media.JSON
    assert body_media("Application/X-MsgPack") is Media.MSGPACK
