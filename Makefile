# Each target sets up what it needs in .venv, once. Options of the demo: make demo ARGS="--seed 1 --out runs/again"
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test drill lint docs clean

demo: $(VENV)/.demo
	$(VENV)/bin/python -m experiments.quickstart $(ARGS)

test: $(VENV)/.test $(VENV)/.demo
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

drill: $(VENV)/.test $(VENV)/.demo
	$(VENV)/bin/python -m pytest -m drill --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.docs
	$(VENV)/bin/python -m sphinx -W --keep-going -b html docs docs/_build

clean:
	rm -rf $(VENV) build docs/_build *.egg-info

$(VENV)/.base: setup.cfg constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, and this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.demo: $(VENV)/.base experiments/demo-requirements.txt
	$(PIP) --no-deps --require-hashes --requirement experiments/demo-requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.base
	$(PIP) --constraint constraints.txt --editable '.[test]'
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(PIP) --constraint constraints.txt --editable '.[docs]'
	touch $@
