# Needs git, make and CPython 3.11, 3.12 or 3.13; everything else comes from requirements.lock.
# A second interpreter: make test PYTHON=/path/to/python3.13 VENV=.venv-3.13
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV ?= .venv
PYTHON ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CANDIDATES := $(if $(PYTHON),'$(PYTHON)',python3 python3.11 python3.12 python3.13)

# Each candidate is run, not only looked up: a shim may exist and fail, and Debian's python3 may lack ensurepip.
# It answers with its base interpreter, so that an activated .venv never rebuilds itself from itself.
PROBE := import sys, venv, ensurepip; \
	print(getattr(sys, "_base_executable", sys.executable)) if (3, 11) <= sys.version_info < (3, 14) else sys.exit(1)

# Half of the time a test waits for another process: two workers for each of two cores.
WORKERS ?= 4
PYTEST := '$(BIN)/python' -m pytest -q -n $(WORKERS) --dist worksteal

.PHONY: help venv demo test test-all test-stress bench bench-core crash-sweep soak bench-live slow docs stack-tools golden lint lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 8

venv: $(STAMP) ## make .venv with what the lock says

# A .venv without our stamp in which all of it can be imported is another tool's (Poetry's): it is kept as it is.
$(STAMP): requirements.lock pyproject.toml
	@if [ ! -e '$@' ] && '$(BIN)/python' -c 'import paperbot, numba, pyarrow, pytest, hypothesis' 2>/dev/null; then \
		echo "$(VENV): is there and works; it is kept as it is"; \
	else \
		python=; for each in $(CANDIDATES); do \
			python=$$("$$each" -c '$(PROBE)' 2>/dev/null) && break; python=; \
		done; \
		if [ -z "$$python" ]; then \
			echo "error: needs CPython >=3.11,<3.14 with venv; none works among: $(CANDIDATES) (set PYTHON=/path/to/python)" >&2; exit 1; \
		fi; \
		echo "$(VENV): $$python"; \
		"$$python" -m venv --clear '$(VENV)' && \
		echo "$(VENV): installing what requirements.lock says; a minute or two where it has to be fetched" && \
		'$(BIN)/python' -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock && \
		echo "$(VENV): installing paperbot itself" && \
		'$(BIN)/python' -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

demo: $(STAMP) ## the offline demo: a made-up market through the real engine, told line by line
	@OFFLINE_DEMO=1 '$(BIN)/python' -m paperbot.main

test: $(STAMP) ## run the tests but the long ones, which it names (five minutes)
	@$(PYTEST) -rs

test-all: $(STAMP) ## run all tests but the slow ones, and all examples of each, as CI does
	@$(PYTEST) -rs --long

test-stress: $(STAMP) ## run the tests that wait for something while the processors are busy; ROUNDS=n BUSY=n
	@'$(BIN)/python' bench/stress_tests.py --rounds $(or $(ROUNDS),10) --busy $(or $(BUSY),4)

bench: $(STAMP) ## the same job side by side with the field (a quarter of an hour; environments of its own)
	@'$(BIN)/python' bench/side_by_side.py

bench-core: $(STAMP) ## what a bar costs on this machine (some minutes)
	@'$(BIN)/python' bench/core.py

crash-sweep: $(STAMP) ## kill a live session 200 times (ten minutes); KILLS=n
	@'$(BIN)/python' bench/crash_sweep.py --kills $(or $(KILLS),200)

soak: $(STAMP) ## a live session against a venue that does everything wrong; MINUTES=n
	@'$(BIN)/python' bench/soak.py --minutes $(or $(MINUTES),5)

bench-live: $(STAMP) ## what being durable and being idle costs
	@'$(BIN)/python' bench/live.py

slow: $(STAMP) ## the tests that take minutes, too
	@$(PYTEST) -rs --slow

docs: $(STAMP) ## write the pages and the dashboard that are made from code anew
	@'$(BIN)/python' scripts/make_docs.py
	@'$(BIN)/python' scripts/make_dashboard.py

stack-tools: $(STAMP) ## install what the tests of the observability stack use; without it they skip, and say so
	@scripts/stack_tools.sh '$(BIN)'

golden: $(STAMP) ## write the golden digests anew (see ADR-0004)
	@'$(BIN)/python' tests/test_golden.py

lint: $(STAMP) ## ruff, flake8, mypy
	@'$(BIN)/ruff' check .
	@'$(BIN)/flake8'
	@'$(BIN)/mypy' --strict src

lock: ## resolve anew with Poetry (2.2 or later, with its export plugin), write all locks
	poetry lock
	poetry export --with dev --format requirements.txt --output requirements.lock
	poetry export --extras report --format requirements.txt --output requirements-run.lock
	poetry export --only stack --format requirements.txt --output requirements-stack.lock

clean: ## remove what was made here
	rm -rf .venv .venv-* build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
