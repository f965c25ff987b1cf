# Newsflow: every task of a developer or a newcomer, in one place. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
LOCK := deploy/locks/development.txt
# numpy's OpenBLAS counts its threads once; two per process fight over two cores (half the speed, measured).
export OPENBLAS_NUM_THREADS := 1

# Twice two cores: a live test waits for servers and services for much of its time. Unit tests take a core each.
WORKERS ?= 4
SHARED := --dist loadgroup -m "not slow"

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-picture test test-slow lint unit contract live quality test-compose fetch bench fuzz faults lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start

setup: .venv/installed ## Build .venv from the lock file

.venv/installed: $(LOCK) deploy/locks/uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Newsflow needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes -r deploy/locks/uv.txt
	@# Bytecode once, here: where PYTHONDONTWRITEBYTECODE is set, each start would else compile every module.
	@$(BIN)/uv pip install --quiet --require-hashes --compile-bytecode -r $(LOCK)
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q services schemas deploy seeds
	@touch $@

demo: setup ## Run the main job on a real Kafka and Elasticsearch (KEEP=1 leaves them up)
	@KEEP=$(or $(KEEP),0) $(BIN)/newsflow demo

demo-picture: setup ## Run the demo and draw its terminal output into docs/demo.svg
	@folder=$$(mktemp -d) && NEWSFLOW_RUN_DIR=$$folder/run $(BIN)/newsflow demo --picture docs/demo.svg; rm -rf $$folder

##@ Check

test: lint fetch ## Lint, types and every guarantee at the smallest scale that shows it
	@$(BIN)/pytest -q -n logical --maxprocesses 4 $(SHARED) tests/unit tests/contract
	@$(BIN)/pytest -q -n $(WORKERS) $(SHARED) tests/live

test-slow: fetch ## The same guarantees at full scale, public data sets, docker-compose.yml
	@$(BIN)/python -m tests.slow

lint: setup ## Style, types and architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

unit: fetch ## Unit tests alone; also: make contract, make live
	@$(BIN)/pytest -q -n logical --maxprocesses 4 $(SHARED) tests/unit

contract live: fetch
	@$(BIN)/pytest -q -n $(WORKERS) $(SHARED) tests/$@

quality: setup ## Scores on public data (NEWSFLOW_EVAL_DATA), pinned
	@$(BIN)/pytest -q -s tests/quality tests/unit/cleaner/test_plain_text.py tests/unit/tagger/test_canonical_names.py

test-compose: setup ## docker-compose.yml on a Docker engine, judged as the live tests are
	@$(BIN)/python -m tests.compose

faults: setup fetch ## Break each rule on purpose and see its test fail
	@$(BIN)/python -m tests.faults

fuzz: .venv/fuzz ## Fuzz the cleaner for SECONDS (default 600); findings go to .venv/fuzz-found
	@.venv/fuzz/bin/python -m tests.fuzz.cleaner --seed .venv/fuzz-inputs
	@mkdir -p .venv/fuzz-found
	@.venv/fuzz/bin/python -m tests.fuzz.cleaner -max_total_time=$(or $(SECONDS),600) -timeout=5 \
	  -rss_limit_mb=512 -max_len=600 -len_control=0 -artifact_prefix=.venv/fuzz-found/ -print_final_stats=1 .venv/fuzz-inputs

# The fuzzer comes as a wheel for Linux alone, so that it has a lock file and an environment of its own.
.venv/fuzz: $(LOCK) deploy/locks/fuzz.txt | setup
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/fuzz
	@VIRTUAL_ENV=.venv/fuzz $(BIN)/uv pip install --quiet --require-hashes -r $(LOCK)
	@VIRTUAL_ENV=.venv/fuzz $(BIN)/uv pip install --quiet --require-hashes -r deploy/locks/fuzz.txt
	@touch $@

##@ Measure

bench: setup ## WHAT=pipeline, another bench or all, against bare libraries; SIZE for a shorter run
	@$(BIN)/python -m tests.bench $(or $(WHAT),pipeline) $(if $(SIZE),--size $(SIZE))

bench-%: setup
	@$(BIN)/python -m tests.bench $* $(if $(SIZE),--size $(SIZE))

##@ Maintain

fetch: setup ## Fetch what the live tests need from outside
	@$(BIN)/python -m tests.fetch

COMPILE := uv pip compile --quiet --generate-hashes --universal --no-header

lock: setup ## Resolve the requirements again
	@echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" | $(BIN)/$(COMPILE) -o deploy/locks/uv.txt -
	@$(BIN)/$(COMPILE) --python-version 3.11 --extra all --extra french --extra small --group dev pyproject.toml -o $(LOCK)
	@echo "atheris==3.0.0" | $(BIN)/$(COMPILE) --python-version 3.11 -o deploy/locks/fuzz.txt -
	@# The images take their versions from there: what is tested is what runs.
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(BIN)/$(COMPILE) --python-version 3.11 -c $(LOCK) -o deploy/locks/wheel.txt -
	@$(BIN)/$(COMPILE) --python-version 3.11 -c $(LOCK) --extra indexer pyproject.toml -o deploy/locks/producer.txt
	@$(BIN)/$(COMPILE) --python-version 3.11 -c $(LOCK) --extra producer --extra gateway --extra indexer pyproject.toml -o deploy/locks/sources.txt
	@$(BIN)/$(COMPILE) --python-version 3.11 -c $(LOCK) --extra cleaner --extra deduper --extra linker --extra tagger --extra indexer pyproject.toml -o deploy/locks/services.txt

clean: ## Stop the embedded servers and delete what was made here
	@test ! -x $(BIN)/newsflow || $(BIN)/newsflow down --wipe
	@rm -rf .venv .newsflow .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
