"""Sends requests that are made from the OpenAPI description to real peers: `make fuzz`.

schemathesis makes them, of each operation and along its links, valid and invalid ones, and holds
every answer against the description. What it cannot know is in `fuzz_hooks`, what it may not
complain of in `schemathesis.toml`. Afterwards the peers must be alive, equal, and have logged no
defect of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

import cluster as clusters  # noqa: E402 - found by the line above
import fuzz_world  # noqa: E402

PHASES = "examples,coverage,fuzzing,stateful"
CONFIG = HERE / "schemathesis.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    seed: int
    examples: int
    peers: int = 3
    phases: str = PHASES
    part: str | None = None
    """Regular expression: only the paths that it finds."""


async def fuzz(wish: Wish, folder: Path) -> int:
    """The exit code of schemathesis: 0 when it found nothing. Raises AssertionError or
    RuntimeError when a peer ended, logged a defect, or holds another state than the others."""
    async with clusters.running(folder, wish.peers) as cluster:
        url = cluster["p1"].url
        for document in fuzz_world.documents():
            applied = await cluster.ask("p1", "POST", "/api/v0/apply", json=document)
            assert applied.status in (200, 201), (document, applied.body)
        code = await _ask_all(wish, url, folder=folder)
        await cluster.ready()
        if wish.peers > 1:
            await cluster.converged()
    return code


async def _ask_all(wish: Wish, url: str, *, folder: Path) -> int:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(CONFIG),
        "run",
        f"{url}/openapi.json",
        f"--seed={wish.seed}",
        f"--max-examples={wish.examples}",
        f"--phases={wish.phases}",
        "--no-color",
        *([] if wish.part is None else [f"--include-path-regex={wish.part}"]),
    ]
    paths = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    child = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}
    )
    try:
        return await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _told_exclusions() -> str:
    """The lines of the configuration that say what schemathesis may not complain of, and why."""
    parts = re.split(r"(?m)^(?=\[+(?:checks|operations))", CONFIG.read_text("utf-8"))
    return "".join(parts[1:])


def _wish() -> Wish:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=200, help="requests of each operation")
    parser.add_argument("--seed", type=int, help="of an earlier run; minted by default")
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--phases", default=PHASES, help=f"some of {PHASES}")
    parser.add_argument(
        "--part",
        help="only paths in which this regular expression is found; where none leads on to another,"
        " leave `stateful` out of the phases",
    )
    told = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if told.seed is None else told.seed
    return Wish(
        seed=seed, examples=told.examples, peers=told.peers, phases=told.phases, part=told.part
    )


def main() -> int:
    wish = _wish()
    from fuzz_hooks import WORDS  # after the arguments: it takes a second to load

    print(f"seed {wish.seed}, {wish.examples} examples an operation, {wish.peers} peers")
    print("What the description says in words only, and valid requests are made to keep:")
    print("\n".join(f"  {name}: {words}" for name, words in WORDS.items()))
    print("What is not complained of:\n")
    print(_told_exclusions())
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        code = asyncio.run(fuzz(wish, Path(folder)))
    print(f"seed {wish.seed}: {'nothing found' if code == 0 else 'FOUND SOMETHING'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
