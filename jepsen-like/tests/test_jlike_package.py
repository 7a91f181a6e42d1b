"""What peers are started from is what was named, or there is no run."""

from __future__ import annotations

import asyncio

import pytest

from jlike import product, runner
from jlike.runner import HarnessBroken, Options


def test_a_folder_with_a_copy_is_what_peers_start_from(tmp_path):
    (tmp_path / product.PACKAGE).mkdir()
    (tmp_path / product.PACKAGE / "__init__.py").touch()
    assert product.package_of(tmp_path) == tmp_path / product.PACKAGE
    runner.must_start_from(tmp_path)


@pytest.mark.parametrize("what", ["nothing", "an empty folder"])
def test_a_folder_without_a_copy_makes_no_run(tmp_path, what):
    """The installed one would be tested in its place."""
    if what == "an empty folder":
        (tmp_path / product.PACKAGE).mkdir()
    with pytest.raises(HarnessBroken, match="peers would be started from"):
        runner.must_start_from(tmp_path)


def test_a_run_looks_first(tmp_path):
    options = Options(workloads=["register"], nemeses=(), package=str(tmp_path / "typo"))
    with pytest.raises(HarnessBroken, match="peers would be started from"):
        asyncio.run(runner.run(options, tmp_path))
