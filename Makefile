SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# uv installs everything else. Where it is missing, a virtual environment of its own holds it: that works without
# root and where the system's Python refuses packages (PEP 668). Debian and Ubuntu ship no `ensurepip` unless
# python3-venv is installed; `pip --target` needs none and is not refused either.
UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv),.local/uv/bin/uv)
RUN := $(UV) run --no-sync
PYTHON ?= python3

# What `make test` hands to pytest, and how many tests run at once.
ARGS ?=
JOBS ?= auto
# `containers` runs the tests on containers of their own instead of the servers below.
TEST_SERVERS ?=
SERVERS = $(if $(TEST_SERVERS),install,up)
# The demo's own defaults hold unless these are given.
DURATION ?=
RATE ?=
SEED ?=

##@ Start here

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(UV) ## Install every dependency as locked, into .venv
	@$(UV) sync --frozen --quiet --compile-bytecode

.PHONY: demo
demo: install ## Run a contact centre for a minute and check it (DURATION=20 RATE=50 SEED=7)
	@$(RUN) chatdesk demo $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE)) \
	  $(if $(SEED),--seed $(SEED))

##@ Servers (Kafka, PostgreSQL and Redis: those the environment gives, else local ones)

.PHONY: up
up: install ## Start them, and say which were chosen and why
	@$(RUN) chatdesk stack up

.PHONY: down
down: $(if $(wildcard .venv/bin/chatdesk),,install) ## Stop the local ones; their data stay
	@.venv/bin/chatdesk stack down

##@ Quality

.PHONY: check
check: install ## Judge format, lint, types, import law, published contracts and lock
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) chatdesk contracts export --check
	$(RUN) chatdesk contracts compat
	$(UV) lock --check

.PHONY: format
format: install ## Put the code into its format
	$(RUN) ruff format
	$(RUN) ruff check --fix --exit-zero

.PHONY: test
test: $(SERVERS) ## Run the core's tests, on real servers (ARGS="-k tickets", JOBS=1, TEST_SERVERS=containers)
	TEST_SERVERS=$(TEST_SERVERS) $(RUN) pytest -n $(JOBS) --dist loadfile -m "not long" $(ARGS)

.PHONY: test-all
test-all: $(SERVERS) ## Run every test; what cannot run here is named at the end
	TEST_SERVERS=$(TEST_SERVERS) $(RUN) pytest -n $(JOBS) --dist loadfile $(ARGS)

.PHONY: bench
bench: install ## Measure against baselines, on servers of its own (about 5 minutes; ARGS="--rounds 1")
	@$(RUN) python -m bench $(ARGS)

.local/uv/bin/uv:
	@echo "uv is not on PATH: installing $(UV_VERSION) into .local/uv"
	@mkdir -p .local
	@rm -rf .local/uv
	@{ $(PYTHON) -m venv .local/uv && .local/uv/bin/pip install --quiet uv==$(UV_VERSION); } >.local/uv.log 2>&1 \
	  || { rm -rf .local/uv && $(PYTHON) -m pip install --quiet --target .local/uv uv==$(UV_VERSION); } >>.local/uv.log 2>&1 \
	  || { cat .local/uv.log; echo "uv is missing: \`sudo apt-get install python3-venv\` lets make install it, or see" \
	       "https://docs.astral.sh/uv"; exit 1; }
