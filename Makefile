# Everything a contributor or a CI machine does is a target here. `make run` needs only git, make and Python; the tests on real servers also need
# Java 17 and Maven, the protocol audits Node.

VENV := .venv
BIN := $(VENV)/bin
# npm writes this file last.
PEERS := tests/js/node_modules/.package-lock.json

# The first Python in range that really runs: a version manager may put a name on the PATH that has nothing behind it.
IN_RANGE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(IN_RANGE)' >/dev/null 2>&1 && echo $$python && break; done)

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-full check bench bench-scale chaos schema lock format env clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/run.stamp ## Serve Tidings with demo data from this machine alone (no database needed)
	$(BIN)/tidings serve --demo

test: $(VENV)/dev.stamp $(PEERS) ## Run every test, on a real Cassandra and MongoDB that are started for it
	$(BIN)/python -m tests.servers -- pytest

test-fast: $(VENV)/dev.stamp ## Run the tests that need no server and little time
	$(BIN)/pytest -m "not cluster and not slow" --numprocesses auto --dist loadfile

# Not among the tests of `make test`: it takes most of an hour on two cores.
test-full: $(VENV)/dev.stamp ## Load the whole demo world on both kinds of stores and verify all of it; STORES=embedded
	$(BIN)/python -m tests.full $(addprefix --stores ,$(STORES))

check: $(VENV)/dev.stamp ## Lint, types, import rules, schema drift and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/tidings schema --check
	$(MAKE) --no-print-directory test-fast

bench: $(VENV)/dev.stamp ## Measure, on real servers; ONLY=name for one benchmark
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

bench-scale: $(VENV)/dev.stamp ## Measure with several processes and large data; takes long
	$(BIN)/python -m benchmarks --scale $(if $(ONLY),--only $(ONLY))

chaos: $(VENV)/dev.stamp ## Pause and kill writers and nodes, then verify; SECONDS=300 SEED=1 NODES=1 (3: a ring)
	$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),300) --seed $(or $(SEED),1) --nodes $(or $(NODES),1)

schema: $(VENV)/dev.stamp ## Write the GraphQL schema file from the code
	$(BIN)/tidings schema

format: $(VENV)/dev.stamp ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One resolution holds for every Python in range, so that all of them run the same versions. dev.txt is run.txt and more.
COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
lock: ## Resolve the dependencies anew and pin them with their hashes
	@$(need-python)
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	$(COMPILE) --group build --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --group build --group dev --constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --only-binary :all: --output-file requirements/servers.txt requirements/servers.in
	rm -rf $(VENV)-lock

# Owner-only, and never written over: whoever loses MASTER_KEY or SERVER_KEY loses what the log holds.
env: ## Make the secrets that docker-compose.yml asks for, in .env, once
	@if [ -e .env ]; then echo ".env is there already and stays as it is."; else \
		umask 077; for name in MASTER_KEY SERVER_KEY TOKEN_KEYS; do \
			echo "$$name=$$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')"; done > .env; \
		echo "Wrote .env. Keep a copy of it somewhere safe."; fi

clean: ## Remove what these targets made, downloads included
	rm -rf $(VENV) $(VENV)-lock .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info
	rm -rf tests/js/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An empty stamp per lock: make knows by its age whether the environment is what the lock says.
$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes --requirement requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(PIP) install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

$(PEERS): tests/js/package-lock.json
	@command -v npm >/dev/null || { echo "The protocol tests need Node 18 or newer with npm." >&2; exit 1; }
	npm ci --prefix tests/js --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/bin/python:
	@$(need-python)
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) ..."
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

define need-python
	if [ -z "$(PYTHON)" ]; then \
		echo "Tidings needs Python 3.11, 3.12 or 3.13 with its venv module, and found none on the PATH." >&2; \
		echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	elif ! $(PYTHON) -c '$(IN_RANGE)' >/dev/null 2>&1; then \
		echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13 with its venv module; name another: make $(MAKECMDGOALS) PYTHON=..." >&2; \
		exit 1; \
	fi
endef
