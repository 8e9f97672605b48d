# make demo   what pertscope does, in one script
# make test   the tests and the examples in the docstrings
# make lint   ruff and mypy          make docs   the documentation, warnings are errors
# make bench  the benchmarks         make clean  remove what these targets made
# Each target makes .venv if it is missing and installs the tested versions in constraints.txt.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# not compiled beforehand, which would take longer than the download: Python does it for what is imported
INSTALL := $(RUN) -m pip install --disable-pip-version-check --quiet --no-compile -c constraints.txt
INPUTS := pyproject.toml constraints.txt src/pertscope/_version.py

# plots are drawn to files, whatever the machine
export MPLBACKEND ?= Agg

.PHONY: demo test coverage lint docs bench clean

demo: $(VENV)/.installed
	$(RUN) tutorials/demo.py

# two processes with a thread each: more threads would wait for each other
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

coverage: $(VENV)/.installed-test
	$(RUN) -m coverage run -m pytest
	$(RUN) -m coverage report

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(VENV)/.installed-docs
	$(RUN) -m sphinx -E -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.installed-bench
	set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(RUN) $$script; done

clean:
	rm -rf $(VENV) docs/_build docs/api/generated docs/notebooks dist .coverage .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(RUN):
	$(PYTHON) -m venv $(VENV)

# stamps: installed once, and again when the versions change
$(VENV)/.installed: $(INPUTS) | $(RUN)
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-%: $(INPUTS) | $(RUN)
	$(INSTALL) -e ".[$*]"
	touch $@
