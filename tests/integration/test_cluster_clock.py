"""Real peers whose wall clocks are wrong: nothing changes but the times that events show."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster import running
from cluster_load import all_events, check_history, load

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

WRONG_SECONDS = 3_600
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
    const char *text = getenv("SHIFT_SECONDS");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
"""
"""Moves the wall clock of one process, and no other clock."""


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shim")
    source, library = folder / "shift.c", folder / "shift.so"
    source.write_text(SHIM)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


@pytest.mark.parametrize("shift", [WRONG_SECONDS, -WRONG_SECONDS])
async def test_a_leader_with_a_wrong_wall_clock_harms_nothing(tmp_path, shim, shift):
    async with running(tmp_path, is_started=False) as cluster:
        wrong = cluster["p1"]
        wrong.environment = {"LD_PRELOAD": str(shim), "SHIFT_SECONDS": str(shift)}
        await cluster.start()
        async with load(cluster, writers=4, counters=2) as callers:
            await callers.acknowledged(50)
            await cluster.make_leader("p1")
            before = (await cluster.status("p1"))["clock_ms"]
            await callers.acknowledged(100)
            cluster.kill("p1")
            await callers.acknowledged(100)
            await cluster.start("p1")
            await callers.acknowledged(50)
            after = (await cluster.status("p2"))["clock_ms"]
        assert before <= after < before + WRONG_SECONDS * 1000 / 2, "no wall time in the clock"
        await check_history(cluster, callers.history)
        shown = [_time_of(event) for event in await all_events(cluster, "p2") if event["index"] > 1]
        now = datetime.now(UTC)
        moved = [abs((time - now).total_seconds() - shift) < WRONG_SECONDS / 2 for time in shown]
        right = [abs((time - now).total_seconds()) < WRONG_SECONDS / 2 for time in shown]
        assert any(moved), "while it led, events showed its time"
        assert any(right), "while others led, events showed theirs"
        assert all(one or other for one, other in zip(moved, right, strict=True))


def _time_of(event: dict) -> datetime:
    time = datetime.fromisoformat(event["time"])
    assert time.utcoffset() == timedelta(0)
    return time
