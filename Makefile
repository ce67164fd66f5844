# The developer's commands; CI runs the same ones.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Whose docstrings and comments are held to be wrapped evenly.
WRAPPED := src tests benchmarks examples checks
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT ?= 0

.PHONY: demo test test-slow test-all test-integrations check bench docs wheel dist clean
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

# What the documentation as a site needs.
$(VENV)/.docs: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

demo: $(VENV)/.core  ## annotate a generated scene and a photograph
	$(BIN)/segagent demo -o demo

# One process a core, each with one thread; the tests of a file stay together, for they share what is made for them.
test: $(VENV)/.dev  ## the fast suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile -m "not slow"

test-slow: $(VENV)/.dev  ## tests that take longer: trainings, killed runs, a browser
	$(BIN)/pytest -m slow

test-all: test test-slow  ## everything

check: $(VENV)/.dev  ## style, paragraphs, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python checks/paragraphs.py $(WRAPPED)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python benchmarks/imports.py

bench: $(VENV)/.dev  ## speed, each figure as a ratio to a named baseline of the same run
	$(BIN)/python benchmarks/bench_scenes.py
	$(BIN)/python benchmarks/bench_annotator.py
	$(BIN)/python benchmarks/bench_step.py

docs: $(VENV)/.docs  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python checks/pages.py build/site

wheel: $(VENV)/.dev  ## wheel and sdist in dist, looked into
	rm -rf dist build/lib build/bdist.*
	$(BIN)/python -m build --outdir dist . > /dev/null
	$(BIN)/python checks/dist.py contents dist

# PYTHONS="python3.11 python3.12" tries several.
dist: wheel  ## the same, installed into a fresh environment elsewhere and used there
	$(BIN)/python checks/dist.py install dist $(foreach python,$(PYTHONS),--python $(python))

# NAMES="cvat mcp" tries some; scripts/test_integrations.sh lists them.
test-integrations: $(VENV)/.dev  ## other people's programs, each in an environment of its own
	PYTHON=$(BIN)/python scripts/test_integrations.sh $(NAMES)

clean:
	rm -rf $(VENV) demo build dist
