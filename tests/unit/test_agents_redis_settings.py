"""What the Redis agent lets people set, and what it hears of Sentinels: plain values."""

from __future__ import annotations

import pytest

from replicante.agents.stores.redis.sentinels import Council, SentinelSays, read_hello
from replicante.agents.stores.redis.settings import ALLOWED, KeptSettings, read_wanted

N1, N2 = ("127.0.0.1", 7001), ("127.0.0.1", 7002)


def says(port: int, *, primary=N1, **changes) -> SentinelSays:
    fields = {
        "sentinel": ("127.0.0.1", port),
        "primary": primary,
        "epoch": 1,
        "is_failing_over": False,
        "is_down": False,
        "down_after_ms": 30_000,
        "others_count": 2,
    }
    return SentinelSays(**fields | changes)


def test_settings_are_given_as_redis_takes_them():
    wanted = {"hz": 20, "activedefrag": True, "appendfsync": "always"}
    assert read_wanted(wanted) == {"activedefrag": "yes", "appendfsync": "always", "hz": "20"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dir", "/etc"),
        ("requirepass", "x"),
        ("replicaof", "127.0.0.1 1"),
        ("min-replicas-to-write", 0),
        ("hz", "20"),
        ("hz", 0),
        ("hz", True),
        ("activedefrag", "yes"),
        ("loglevel", "notice\nrequirepass x"),
        ("maxmemory", -1),
    ],
)
def test_what_is_not_listed_or_out_of_bounds_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        read_wanted({name: value})


def test_kept_settings_outlive_the_agent_and_only_listed_ones_are_read(tmp_path):
    KeptSettings(tmp_path).save({"hz": "20"})
    KeptSettings(tmp_path).save({"timeout": "5"})
    assert KeptSettings(tmp_path).values == {"hz": "20", "timeout": "5"}
    (tmp_path / "settings.json").write_text('{"hz": "30", "requirepass": "x"}')
    assert KeptSettings(tmp_path).values == {"hz": "30"}
    (tmp_path / "settings.json").write_text("[]")
    assert KeptSettings(tmp_path).values == {}
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="not what an agent wrote"):
        KeptSettings(tmp_path)
    assert "hz" in ALLOWED


def test_a_hello_tells_where_a_sentinel_listens_and_whom_it_takes_for_primary():
    hello = read_hello("127.0.0.1,26379," + "a" * 40 + ",7,main,127.0.0.1,7001,3")
    assert (hello.sentinel, hello.name) == (("127.0.0.1", 26379), "main")
    assert (hello.primary, hello.epoch) == (N1, 3)


@pytest.mark.parametrize(
    "word", ["", "a,b", "127.0.0.1,0,r,7,main,127.0.0.1,7001,3", "h,1,r,7,main,h,1,many"]
)
def test_other_words_on_the_channel_are_no_hello(word):
    assert read_hello(word) is None


def test_a_primary_is_agreed_on_by_a_majority_of_all_that_are_known():
    two = Council(name="main", known_count=3, says=(says(1), says(2)))
    assert two.is_quorate and two.agreed == N1 and two.chair == ("127.0.0.1", 1)
    split = Council(name="main", known_count=3, says=(says(1), says(2, primary=N2)))
    assert split.is_quorate and split.agreed is None and not split.is_unanimous_for(N1)
    one = Council(name="main", known_count=3, says=(says(1),))
    assert not one.is_quorate and one.agreed is None
