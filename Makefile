# make demo: the whole study on built-in data.   make test: the tests.   Each installs what it needs, once.
# make chaos: 220 faults on the SLURM of slurm-up while it runs a sweep; some 22 minutes, figures in results/chaos/.
# make slurm-up, slurm-down: a SLURM for tests/slurm on this machine (Debian, as root); without one they are skipped.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check slurm-up slurm-down chaos clean

demo: $(VENV)/.installed
	$(BIN)/tmbench run sweep=demo
	$(BIN)/tmbench aggregate sweep=demo

test: $(VENV)/.developing
	$(BIN)/python -m pytest

check: $(VENV)/.developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

slurm-up:
	tests/slurm/cluster up

slurm-down:
	tests/slurm/cluster down

chaos: $(VENV)/.developing
	$(BIN)/python tests/slurm/chaos.py --faults 220 --seed 1 --out results/chaos

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[vision]'
	touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

clean:
	rm -rf $(VENV)
