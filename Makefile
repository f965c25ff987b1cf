# Newsflow: every task of a developer or a newcomer, in one place. `make help` lists them.

PYTHON ?= python3
BIN := .venv/bin
LOCK := deploy/locks/development.txt
# numpy's OpenBLAS counts its threads once; two per process fight over two cores (half the speed, measured).
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-picture test lint fetch unit contract live test-compose quality bench bench-memory bench-cleaner bench-repeats bench-indexer bench-start fuzz faults lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

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

# One test does little but wait, for more than five minutes: beside the others.
AWAY := tests/live/test_away.py

# One process for each core, each with a Kafka and an Elasticsearch of its own (2 GB): no more than four of them.
SHARED := -n logical --maxprocesses 4 --dist worksteal

test: lint fetch ## Lint, types and every test, on the real servers
	@log=$$(mktemp); $(BIN)/pytest -q -p no:cacheprovider $(AWAY) > $$log 2>&1 & away=$$!; trap "kill $$away" INT TERM; \
	  $(BIN)/pytest -q $(SHARED) --ignore=$(AWAY); rest=$$?; wait $$away; waited=$$?; cat $$log; rm $$log; \
	  test $$rest -eq 0 && test $$waited -eq 0

lint: setup ## Style, types and architecture
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fetch: setup ## Fetch what the tests need from outside
	@$(BIN)/python -m tests.fetch

unit: setup ## Unit tests alone
	@$(BIN)/pytest -q $(SHARED) tests/unit

contract: fetch ## Contract tests alone
	@$(BIN)/pytest -q tests/contract

live: fetch ## Tests on the real Kafka and Elasticsearch alone
	@$(BIN)/pytest -q $(SHARED) tests/live

test-compose: setup ## docker-compose.yml on a Docker engine, judged as the live tests are
	@$(BIN)/python -m tests.compose

quality: setup ## Pinned scores on public data
	@$(BIN)/pytest -q -s tests/quality

bench: setup ## The whole pipeline against the bare model, in one run; then bench-repeats
	@$(BIN)/python -m tests.bench.pipeline
	@$(BIN)/python -m tests.bench.repeats

bench-repeats: setup ## What the memories cost as they grow; deduper and linker against the tagger
	@$(BIN)/python -m tests.bench.repeats

bench-indexer: setup ## The indexer against the client's own parallel_bulk, in one run
	@$(BIN)/python -m tests.bench.indexer

bench-memory: setup ## How large the tagger gets over 50,000 articles (takes ten minutes)
	@$(BIN)/python -m tests.bench.memory

bench-cleaner: setup ## The cleaner against the bare libraries it stands on, in one run
	@$(BIN)/python -m tests.bench.cleaner

bench-start: setup ## What newsflow up, each service and the commands cost until they are ready
	@$(BIN)/python -m tests.bench.start

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

faults: setup ## Break each rule on purpose and see its test fail (takes long)
	@$(BIN)/python -m tests.faults

COMPILE := uv pip compile --quiet --generate-hashes --universal --no-header

lock: setup ## Resolve the requirements anew
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
