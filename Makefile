PYTHON ?= python3
VENV := .venv
TRIALS ?= 20
WORKERS ?= 2
UV := $(shell command -v uv 2>/dev/null)
INSTALL = $(if $(UV),uv pip install --quiet --python $(VENV)/bin/python,$(VENV)/bin/python -m pip install --quiet) --constraint constraints.txt --editable

.PHONY: study test lint docs constraints clean

study: $(VENV)/.study  ## install, then tune the shipped quickstart
	$(VENV)/bin/dfkd-tune study --n-trials $(TRIALS)
	@echo "(the commands are in $(VENV)/bin)"

test: $(VENV)/.test  ## install what tests need, and run them all
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/pyright --project . --pythonpath $(VENV)/bin/python

docs: $(VENV)/.docs  ## install what the documentation needs, and build it into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

constraints:  ## write the newest versions that fit pyproject.toml into constraints.txt
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet '.[test,docs,postgresql,dask,skops,onnx,xgboost,lightgbm,catboost]'
	build/constraints/bin/python -m pip freeze --exclude dfkd-tune | sed 's/+.*//' > constraints.txt

clean:
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.study: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[test]'
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) '.[docs]'
	@touch $@
