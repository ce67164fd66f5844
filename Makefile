# The developer's commands; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

.PHONY: demo test test-all check bench clean
.DELETE_ON_ERROR:

# What a user needs.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

# What tests and checks need on top.
$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.core  ## annotate a generated scene and a photograph
	$(BIN)/segagent demo -o demo

test: $(VENV)/.dev  ## the fast suite
	$(BIN)/pytest -m "not slow"

test-all: $(VENV)/.dev  ## everything, slow tests included
	$(BIN)/pytest

check: $(VENV)/.dev  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/imports.py

bench: $(VENV)/.dev  ## speed, each figure as a ratio to a named baseline of the same run
	$(BIN)/python benchmarks/bench_scenes.py
	$(BIN)/python benchmarks/bench_annotator.py
	$(BIN)/python benchmarks/bench_step.py

clean:
	rm -rf $(VENV) demo build
