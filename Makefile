PYTHON ?= python3
VENV := .venv
TRIALS ?= 20
WORKERS ?= 2

.PHONY: study test lint clean

study: $(VENV)/.study  ## install, then tune the shipped quickstart
	$(VENV)/bin/dfkd-tune study --n-trials $(TRIALS)
	@echo "(the commands are in $(VENV)/bin)"

test: $(VENV)/.test  ## install what tests need, and run them all
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/pyright --project . --pythonpath $(VENV)/bin/python

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.study: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@
