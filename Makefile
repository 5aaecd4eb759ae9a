# Every target sets up what it needs: a Python >= 3.10 and make are enough on a fresh machine.
#   make demo [FILE=text]   the fail-over demonstration, with FILE (default: README.md) as what is sent
#   make test               unit and integration tests
#   make lint               ruff and mypy
#   make chaos              ten minutes of misfortune for a cluster [ARGS="--seconds 60 --seed 1 --min-replicas 0"]
#   make simulation         a thousand clusters on a virtual clock, and each rule broken [SEEDS=1-100]
#   make interop            foreign peers against our broker (they are installed into .interop/)
#   make conformance        the broker conformance suite of the original client
#   make soak               eight threads on one connection for a minute, its broker killed every five seconds
#   make bench              figures, with pytest-benchmark
#   make test-all-pythons   the tests on each supported Python that is installed
PYTHON ?= python3
VENV ?= .venv
FILE ?= README.md
SEEDS ?= 1-1000
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
RUN := $(VENV)/run.stamp
DEV := $(VENV)/dev.stamp
PYTHONS := 3.10 3.11 3.12 3.13

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo test lint format chaos simulation interop conformance soak bench test-all-pythons clean

help:
	@sed -n 's/^#   //p' Makefile

# What the project itself needs, and no more: the demonstration must not wait for test tools.
$(RUN): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or later is needed; name one with make PYTHON=...") if sys.version_info < (3, 10) else 0'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --editable .
	@touch $@

$(DEV): $(RUN)
	@$(PIP) install --editable '.[dev]'
	@touch $@

venv: $(DEV)

demo: $(RUN)
	@$(PY) examples/failover_demo.py $(ARGS) "$(FILE)"

test: $(DEV)
	@$(PY) -m pytest -q tests --ignore=tests/benchmarks $(ARGS)

lint: $(DEV)
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(PY) -m mypy

format: $(DEV)
	@$(PY) -m ruff check --quiet --fix .
	@$(PY) -m ruff format --quiet .

chaos: $(DEV)
	@$(PY) -m tests.chaos.chaos $(ARGS)

simulation: $(DEV)
	@$(PY) -m tests.simulation --seeds $(SEEDS)
	@$(PY) -m tests.simulation --broken

interop: $(DEV)
	@$(PY) -m pytest -q -rs interop $(ARGS)

conformance: $(DEV)
	@$(PY) -m interop.conformance $(ARGS)

soak: $(DEV)
	@SOAK_SECONDS=60 $(PY) -m pytest -q tests/integration/test_client_threads.py $(ARGS)

bench: $(DEV)
	@$(PY) -m pytest -q tests/benchmarks --benchmark-only $(ARGS)

# One environment for each version, so that a second run is quick. pyenv's shims want to be told which version is meant.
test-all-pythons:
	@for v in $(PYTHONS); do \
	  export PYENV_VERSION=$$(pyenv latest $$v 2>/dev/null); \
	  python$$v -c '' 2>/dev/null || { echo "python$$v: not here"; continue; }; \
	  echo "python$$v:"; \
	  $(MAKE) --no-print-directory test PYTHON=python$$v VENV=.venv-$$v || exit 1; \
	done

clean:
	@rm -rf .venv .venv-* .interop .hypothesis .benchmarks .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
