# The same few commands here and in CI.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Tests write some 40,000 small files, wait for the disk with each, and clear them away: in memory, where it has room.
ROOM   := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 2000000 {print "/dev/shm"}')
# Byte code is kept: the second worker, every process that a test starts and the next call read it. A worker has one
# core: threads of its queries would take the other worker's.
ONE    := PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 TMPDIR=$(or $(ROOM),$(TMPDIR))

.PHONY: setup demo test check format coverage docs pictures vendor clients hooks dist clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,pdf,cloud,sqlite,duckdb]'
	$(ONE) $(BIN)/python -m experiments.warm
	touch $(READY)

demo: setup
	$(BIN)/tributary demo

test: setup
	$(ONE) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not oracle and not peer" -q

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_public_names.py

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

coverage: setup
	$(ONE) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not oracle and not peer" -q --cov --cov-report=term:skip-covered

pictures: setup
	$(BIN)/python docs/prepare/pictures.py demo

vendor: setup
	$(BIN)/python docs/prepare/vendor.py

docs: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

clients: setup
	$(BIN)/python -m api.documentation > clients/typescript/openapi.json
	cd clients/typescript && npm install && npm run generate && npm run build

hooks:
	hook=$$(git rev-parse --git-path hooks)/pre-commit && printf '#!/bin/sh\nexec make check\n' > $$hook && chmod +x $$hook

dist: setup
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) demo dist site
