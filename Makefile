# Every target builds .venv itself when it is missing: Python >= 3.11, gcc and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test fuzz sim sim-judged sim-workers torture mutants bench check format clean venv

venv: $(STAMP)

$(STAMP): pyproject.toml jepsen-like/pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Replicante needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Choose one: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable '.[uvloop,playground]' --editable ./jepsen-like
	touch $(STAMP)

# The main job, live in this terminal. DEMO_SECONDS=N ends it by itself.
demo: $(STAMP)
	$(BIN)/python -m replicante demo

# All tests, three at a time, since most of the long ones wait; who is done takes tests from the others. ARGS passes options on: make test ARGS='-k session'
test: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

# Requests that are made from the OpenAPI description, against three real peers. make fuzz SEED=7 ARGS='--part kv'
EXAMPLES ?= 200
fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/fuzz.py --examples $(EXAMPLES) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Simulated clusters, a run a seed: make sim SEEDS=2000, from another one with FIRST=5000; make sim SEED=7 TRACE=1
SEEDS ?= 150
FIRST ?= 0
sim: $(STAMP)
	$(BIN)/python -m replicante.testing.sim $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),--seeds $(SEEDS) --first $(FIRST))

# What clients did in simulated runs, judged by the checkers of the real ones. make sim-judged SEEDS=500
sim-judged: $(STAMP)
	$(BIN)/python tests/sim/judged.py --seeds $(SEEDS) --first $(FIRST)

# Workers, agents and a platform at their worst, a world a seed. make sim-workers SEEDS=2000, from another one with FIRST=5000
sim-workers: $(STAMP)
	WORK_SEEDS=$(SEEDS) WORK_FIRST=$(FIRST) $(BIN)/python -m pytest -q -n 2 tests/unit/test_workers_world.py tests/unit/test_workers_failovers.py

# Real peers under faults, judged by what their clients saw. make torture TIME=60 ARGS='--seed 7 -w lock,bank -n kill'
TIME ?= 60
torture: $(STAMP)
	$(BIN)/jlike run --time $(TIME) $(ARGS)

# Known defects, each made in a copy of the package: the simulator must find every one. ARGS names some
mutants: $(STAMP)
	$(BIN)/python tests/sim/mutants.py $(ARGS)

# Replicated writes of stock PySyncObj and of ours in one run, about six minutes. make bench ARGS=--short
bench: $(STAMP)
	$(BIN)/python bench/raft.py $(ARGS)

# The whole ritual before a commit: format, lint, types, room contracts, and that every test can be imported.
check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy bench
	$(BIN)/lint-imports --no-logo
	@said=$$($(BIN)/python -m pytest --collect-only -q) || { echo "$$said" | tail -60; exit 1; }

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dev-data demo-data pool-data demo-report.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
