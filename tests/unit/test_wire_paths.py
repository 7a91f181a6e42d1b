from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from replicante.wire import headers, paths
from replicante.wire.durations import format_duration_ms, parse_duration_ms

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)
AWKWARD = st.lists(
    st.sampled_from(["/", "%2F", "%", "..", ".", "//", " ", "?", "#", "a", "é", "\n", "\0", "+"]),
    min_size=1,
).map("".join)


def raw_rest(path: str) -> str:
    prefix = f"{headers.API_PREFIX}/kv/"
    assert path.startswith(prefix)
    return path.removeprefix(prefix)


@given(st.one_of(TEXT, AWKWARD))
def test_any_key_survives_its_path(key):
    path = paths.kv_path(key)
    assert path.isascii()
    assert paths.unquote_once(raw_rest(path)) == key.encode()


@given(st.one_of(TEXT, AWKWARD))
def test_an_encoded_url_leaves_the_path_alone(key):
    url = URL("http://127.0.0.1:1" + paths.kv_path(key), encoded=True)
    assert paths.unquote_once(raw_rest(url.raw_path)) == key.encode()


@given(st.one_of(TEXT, AWKWARD))
def test_no_key_makes_dot_or_empty_segments_that_a_proxy_could_fold(key):
    segments = paths.kv_path(key).split("/")[1:]
    assert not {"", ".", ".."} & set(segments)


def test_readable_keys_stay_readable():
    assert paths.kv_path("app/config.yaml") == "/api/v0/kv/app/config.yaml"
    assert paths.kv_path("a/../b") == "/api/v0/kv/a%2F..%2Fb"
    assert paths.kv_path("..") == "/api/v0/kv/%2E%2E"
    assert paths.kv_path("a%2Fb") == "/api/v0/kv/a%252Fb"


@pytest.mark.parametrize("raw", ["%", "a%", "%2", "%zz", "%%41", "%+1", "% 1"])
def test_a_broken_escape_is_no_key(raw):
    assert paths.unquote_once(raw) is None


def test_bytes_that_a_client_did_not_escape_count_as_they_are():
    assert paths.unquote_once("é") == "é".encode()
    assert paths.unquote_once("\udcff") == b"\xff"


def test_object_paths_take_their_scope_in_order():
    assert paths.object_path("Namespace", "a/b") == (
        "/api/v0/object/replicante.io/v0/namespace/a%2Fb"
    )
    assert paths.list_path("NAMESPACE") == "/api/v0/list/replicante.io/v0/namespace"


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("0s", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("1m", 60_000),
        ("1h30m", 5_400_000),
        ("7d", 7 * 86_400_000),
        ("1d2h3m4s5ms", 93_784_005),
    ],
)
def test_durations_are_read(text, duration_ms):
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    "text", ["", "0", "1.5s", "-1s", "+1s", " 1s", "1s ", "s", "1s1m", "1s1s", "1S", "١s", "1e3s"]
)
def test_text_that_is_no_duration_is_none(text):
    assert parse_duration_ms(text) is None


@given(st.integers(0, 10**14))
def test_a_written_duration_reads_back(duration_ms):
    assert parse_duration_ms(format_duration_ms(duration_ms)) == duration_ms
