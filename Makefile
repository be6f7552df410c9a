PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TYPES := build/mypy/firebreak
ENVIRONMENTS := build/environments.done
LOGQL := build/lezer-logql/.installed

.PHONY: help install demo up down test lint soak benchmarks

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## the environment in .venv, at the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Firebreak needs Python 3.11 to 3.13; name one with PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt
	@touch $@

demo: $(STAMP) ## an attack on a live workflow and the answer to it; SABOTAGE=<step> breaks a step
	@$(BIN)/python -m firebreak.deployments.demo --sabotage "$(SABOTAGE)" $(if $(WAIT),--wait $(WAIT))

up: $(STAMP) ## a system that stays: server with a password, worker, deployments
	@$(BIN)/python -m firebreak.deployments.up start

down: $(STAMP) ## stop it
	@$(BIN)/python -m firebreak.deployments.up stop

test: lint $(ENVIRONMENTS) $(LOGQL) ## everything that belongs to a release, about 20 minutes
	$(BIN)/python -m pytest -m "not soak" -n 3 --dist loadfile --no-loadscope-reorder --durations=15

$(ENVIRONMENTS): tests/environments.py | $(STAMP)
	@$(BIN)/python -m tests.environments

$(LOGQL): tests/lezer_logql/package-lock.json | $(STAMP)
	@$(BIN)/python -m tests.lezer_logql || true

lint: $(STAMP) ## formatting, ruff, mypy (strict)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@mkdir -p $(TYPES) && for room in detectors blocks flows deployments; do ln -sfn ../../../$$room $(TYPES)/$$room; done
	@ln -sfn ../../tests build/mypy/tests
	@MYPYPATH=build/mypy:tests/end_to_end/plugin $(BIN)/mypy --no-error-summary $(TYPES) build/mypy/tests

soak: $(STAMP) ## what takes longer
	$(BIN)/python -m pytest -m soak --timeout 3600

benchmarks: $(STAMP) ## the figures, each beside its alternative
	@for figure in $$(cd tests/benchmarks && ls *.py | sed 's/\.py//' | grep -v __init__); do echo "== $$figure"; $(BIN)/python -m tests.benchmarks.$$figure; done
