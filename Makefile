PYTHON ?= python3
VENV := .venv
TRIALS ?= 20
WORKERS ?= 2
UV := $(shell command -v uv 2>/dev/null)
LITERT := $(VENV)-litert
# $(call INSTALL,environment,constraints)
INSTALL = $(if $(UV),uv pip install --quiet --python $(1)/bin/python,$(1)/bin/python -m pip install --quiet) --constraint $(2) --editable

.PHONY: study test test-litert lint docs constraints clean

study: $(VENV)/.study  ## install, then tune the shipped quickstart
	$(VENV)/bin/dfkd-tune study --n-trials $(TRIALS)
	@echo "(the commands are in $(VENV)/bin)"

test: $(VENV)/.test  ## install what tests need, and run them all
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test-litert: $(LITERT)/.test  ## the tests of LiteRT, whose packages do not go with those of the other tests
	$(LITERT)/bin/python -m pytest tests/export/formats/test_litert.py tests/training/test_problem_missing.py -k litert

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/pyright --project . --pythonpath $(VENV)/bin/python

docs: $(VENV)/.docs  ## install what the documentation needs, and build it into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

constraints:  ## write the newest versions that fit pyproject.toml into constraints.txt and constraints-litert.txt
	rm -rf build/constraints build/constraints-litert
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet '.[test,docs,postgresql,dask,skops,onnx,xgboost,lightgbm,catboost,privacy]'
	build/constraints/bin/python -m pip freeze --exclude dfkd-tune | sed 's/+.*//' > constraints.txt
	$(PYTHON) -m venv build/constraints-litert
	build/constraints-litert/bin/python -m pip install --quiet '.[litert]' pytest
	build/constraints-litert/bin/python -m pip freeze --exclude dfkd-tune | sed 's/+.*//' > constraints-litert.txt

clean:
	rm -rf $(VENV) $(LITERT) build dist site .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python $(LITERT)/bin/python:
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(VENV)/.study: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call INSTALL,$(VENV),constraints.txt) .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call INSTALL,$(VENV),constraints.txt) '.[test]'
	@touch $@

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(call INSTALL,$(VENV),constraints.txt) '.[docs]'
	@touch $@

$(LITERT)/.test: pyproject.toml constraints-litert.txt | $(LITERT)/bin/python
	$(call INSTALL,$(LITERT),constraints-litert.txt) '.[litert]' pytest --no-compile
	@touch $@
