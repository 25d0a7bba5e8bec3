# The few commands of this project. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
export PALIMPSEST_HOME ?= $(CURDIR)/var
export PORT ?= 8000
export PYTHONUNBUFFERED := 1
# Nothing here may reach a model hub by itself.
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help install demo test test-slow lint format bench attack clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\n  PALIMPSEST_HOME=%s (data)   PORT=%s (demo)\n' "$(PALIMPSEST_HOME)" "$(PORT)"

install: ## install system packages and the virtual environment (.venv)
	@deploy/setup/system_packages.sh container browser registry services
	@deploy/setup/venv.sh

demo: ## the whole leaderboard on this machine: builds, submits the reference methods, serves until Ctrl-C
	@case "$${DEMO_BACKEND:-podman}" in process) ;; podman-runsc) deploy/setup/system_packages.sh container gvisor ;; \
	  docker) deploy/setup/system_packages.sh container docker ;; *) deploy/setup/system_packages.sh container ;; esac
	@deploy/setup/venv.sh
	@exec $(PY) -m deploy.demo

# What the tests of the other backends run on; a machine that may not have them skips those tests, and says so.
ENGINES := deploy/setup/system_packages.sh gvisor docker || echo "Tests of the backends that lack these are skipped." >&2

test: install ## run every test but the slow ones (under 20 minutes on two cores)
	@$(ENGINES)
	@$(PY) -m deploy.setup.tests

test-slow: install ## run the long proofs that make test leaves out
	@$(ENGINES)
	@$(PY) -m deploy.setup.tests --slow

lint: install ## check style, types, layers, security, templates and scripts
	@deploy/setup/lint.sh

format: install ## put Python files and templates into the house style
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format --quiet .
	@git ls-files -z 'templates/*.html' 'leaderboard/*.html' | xargs -0 -r .venv/bin/djade --target-version 5.2

bench: install ## measure engine, statistics, refusals and containers on this machine; fails when a target is missed
	@missed=0; for what in engine statistics refusal wall; do $(PY) -m evaluator bench $$what || missed=1; done; exit $$missed

attack: install ## try to name the facts of hidden releases by what is published; fails when that beats chance
	@$(PY) -m evaluator reidentify

clean: ## remove the virtual environment and caches; data in PALIMPSEST_HOME stay
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache staticfiles
	@find . -name __pycache__ -not -path './var/*' -prune -exec rm -rf {} +
