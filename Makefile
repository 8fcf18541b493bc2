# make demo   train the default model on the embedded digits, score it, name its picture and report
# make test   run all tests        make check   lint, types, import rules
# make test-fast   the unit tests without the slow ones        make format   format the code
# make fuzz   what is read, with damaged files and odd folders, for about an hour (EXAMPLES=1000: two minutes)
# make docs   build the documentation into site/
# make bench   a training step, timed beside a plain one on this machine
PYTHON ?= python3
BIN := .venv/bin
# Tests that need real data look here; they skip, with a reason, where it is absent.
ENERGAN_DATA ?= $(wildcard $(CURDIR)/../shared/data)
export ENERGAN_DATA
# Tests start Python often: what it has compiled is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-fast fuzz check format docs bench clean
.DELETE_ON_ERROR:

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("energan needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip

# A stamp for each set of packages, so that a second make installs nothing.
.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[tensorboard]'
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.demo
	@set -e; out=runs/demo-$$(date +%Y%m%d-%H%M%S); \
	$(BIN)/energan train ebgan-digits --out $$out; \
	$(BIN)/energan evaluate $$out; \
	$(BIN)/energan report $$out

test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

test-fast: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow and not e2e"

EXAMPLES ?= 100000
fuzz: .venv/.dev
	ENERGAN_FUZZ=$(EXAMPLES) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --timeout 0 tests/fuzz

check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/.dev
	$(BIN)/python benchmarks/training.py

clean:
	rm -rf .venv build dist site src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
