# The verbs of the project. `make` alone lists them.
# Everything installs into .venv (exact versions, hashes checked); big downloads and builds are cached in
# ${ZANITH_CACHE:-~/.cache/zanith}, outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
LOCKED := .venv/.locked

.PHONY: help install demo test check unit integration e2e crds schemas docs manifests image bench bench-snapshot bench-locks bench-rates bench-archive bench-history cluster-up cluster-down lock format clean

help: ## list the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(LOCKED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed as '$(PYTHON)'; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the locked Python packages into .venv ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(LOCKED)

install: $(LOCKED) ## the development environment in .venv

demo: $(LOCKED) ## the main job on real parts: cluster, Postgres under load, operator, migrations, kills, history
	@$(BIN)/python deploy/demo.py

test: $(LOCKED) ## every tier on real parts; ends by saying which ran
	@tests/run-tiers check unit integration e2e

check: $(LOCKED) ## format, lint, types, import borders, and that generated files are fresh; under a minute
	@tests/run-tiers check

unit: $(LOCKED) ## the pure half, with branch coverage
	@tests/run-tiers unit

integration: $(LOCKED) ## on real PostgreSQL 15 and 18
	@tests/run-tiers integration

e2e: $(LOCKED) ## on a real Kubernetes
	@tests/run-tiers e2e

crds: $(LOCKED) ## write crds/ and the chart's copy from the models
	@$(BIN)/python -m zanith.api.crd --write

schemas: $(LOCKED) ## write docs/schema-graph.schema.json from the classes of the graph
	@$(BIN)/python -m zanith.core.graph_schema --write

docs: $(LOCKED) ## write docs/operations.md and the page of each kind, planned on real PostgreSQL 15 and 18
	@tests/prerequisites
	@$(BIN)/python tests/reference/write.py

manifests: $(LOCKED) ## write deploy/manifests from the chart
	@deploy/manifests/render

image: $(LOCKED) ## build the image from the Dockerfile
	@deploy/cluster image

bench: $(LOCKED) ## benchmarks; they write RESULTS.md
	@$(BIN)/python -m pytest tests/bench -q

bench-snapshot: $(LOCKED) ## 1,000 models and 3,967 relations: capture, store, load, diff
	@$(BIN)/python tests/bench/snapshots.py

bench-locks: $(LOCKED) ## what each kind locks and how long, on 2 million rows under load; ten minutes; writes RESULTS.md
	@$(BIN)/python tests/bench/locks.py

bench-archive: $(LOCKED) ## a column of a million rows archived, tampered with, restored, under load; writes RESULTS.md
	@$(BIN)/python tests/bench/archives.py

bench-history: $(LOCKED) ## 10,000 migrations and 100,000 steps, told by history --verbose; writes RESULTS.md
	@$(BIN)/python tests/bench/histories.py

bench-rates: $(LOCKED) ## how fast tables are read and written, which waiting is predicted by; three minutes
	@$(BIN)/python tests/bench/rates.py

cluster-up: ## a real Kubernetes for tests and the demo; twice is harmless
	@deploy/cluster up

cluster-down: ## end it; nothing is left running
	@deploy/cluster down

lock: $(LOCKED) ## write the lock files anew from pyproject.toml
	@$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --no-emit-find-links pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --no-emit-find-links --group dev pyproject.toml -o requirements-dev.lock

format: $(LOCKED) ## format the code
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

clean: ## remove what was built inside the checkout
	@rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .coverage .import_linter_cache
