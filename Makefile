# Everything runs in a virtual environment of its own, made on first use from constraints.txt.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
KILLS ?= 500
SOAK_S ?= 1800
TORCH := torch==2.13.0

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Steps run in the order in which they are listed, whatever -j says.
.NOTPARALLEL:

BIN := $(VENV)/bin
# Kymatio needs an older SciPy than everything else: an environment of its own.
BENCH_VENV ?= .venv-bench
BENCH_READY := $(BENCH_VENV)/.ready
# protoc looks for its plugins on the PATH.
ACTIVATED := PATH="$(abspath $(BIN)):$$PATH"
READY := $(VENV)/.ready
SOURCES := $(wildcard scatonline service protos deploy tests benchmarks)

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) \
	| while IFS=$$'\t' read -r name text; do printf '  %-16s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(READY) ## start the service, stream a recording to it, show the result [DATA=file.npz ARGS='…']
	$(BIN)/scatonline demo $(if $(DATA),--data '$(DATA)') $(ARGS)

.PHONY: test
test: $(READY) ## run all tests [ARGS='-k name …' WORKERS=2]
	$(ACTIVATED) python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

.PHONY: check
check: format-check lint types layers proto-check demo-short test ## everything that a commit must pass

.PHONY: fmt
fmt: $(READY) ## format the code, and fix what can be fixed by itself
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

.PHONY: format-check
format-check: $(READY)
	$(BIN)/ruff format --check $(SOURCES)

.PHONY: lint
lint: $(READY) ## check style and likely mistakes
	$(BIN)/ruff check $(SOURCES)

.PHONY: types
types: $(READY) ## check types
	$(BIN)/mypy

.PHONY: layers
layers: $(READY) ## check that imports flow one way
	$(BIN)/lint-imports

.PHONY: proto
proto: $(READY) ## write service/_generated anew from protos/
	$(ACTIVATED) python protos/generate.py

.PHONY: proto-check
proto-check: $(READY)
	$(ACTIVATED) python protos/generate.py --check

.PHONY: demo-short
demo-short: $(READY)
	$(BIN)/scatonline demo --short

.PHONY: bench-scattering
bench-scattering: $(BENCH_READY) ## measure the transform against Kymatio and its FFTs [ARGS='--device cuda …']
	$(BENCH_VENV)/bin/python -m benchmarks.scattering --out benchmarks/results/scattering.json $(ARGS)

.PHONY: bench-families
bench-families: $(READY) ## what learnable families learn, and what that is worth [ARGS='--parts … --seeds 3']
	$(BIN)/python -m benchmarks.families --out benchmarks/results/families.json $(ARGS)

.PHONY: bench-learning
bench-learning: $(READY) ## what adapting is worth on real recordings [ARGS='--parts encoding cost --quick']
	$(BIN)/python -m benchmarks.learning --out benchmarks/results/learning.json $(ARGS)

.PHONY: bench-structure
bench-structure: $(READY) ## what the structure search does where the truth is known [ARGS='--seeds 10 …']
	$(BIN)/python -m benchmarks.structure --out benchmarks/results/structure.json $(ARGS)

.PHONY: bench-service
bench-service: $(READY) ## what the service costs beside its models, against a bare echo [ARGS='--parts … --quick']
	$(BIN)/python -m benchmarks.service --out benchmarks/results/service.json $(ARGS)

.PHONY: stability
stability: $(READY) ## measure how far noise, shifts, deformations and other samples move it [ARGS='--quick …']
	$(BIN)/python -m benchmarks.stability --out benchmarks/results/stability.json $(ARGS)

.PHONY: crash
crash: $(READY) ## kill the service 500 times and compare it with one that never was [KILLS=500 CRASH_SEED=…]
	$(ACTIVATED) CRASH_KILLS=$(KILLS) python -m pytest --numprocesses $(WORKERS) tests/crash/test_kills.py $(ARGS)

.PHONY: soak
soak: $(READY) ## run the service for half an hour: its memory and the cost of a sample stay [SOAK_S=1800]
	$(ACTIVATED) SOAK_S=$(SOAK_S) python -m pytest --capture=no tests/crash/test_soak.py $(ARGS)

.PHONY: lock
lock: ## resolve the newest versions and write constraints.txt (run it with the oldest Python)
	$(require-python)
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT; \
	$(PYTHON) -m venv "$$scratch/venv"; \
	"$$scratch/venv/bin/python" -m pip install '$(TORCH)' --editable '.[demo,dev]'; \
	"$$scratch/venv/bin/python" -m pip freeze --all --exclude pip --exclude scatonline > "$$scratch/frozen"; \
	{ echo '# Written by `make lock`: the versions that scatonline is tested with.'; \
	  sed -E -e 's/\+[a-z0-9.]+$$//' -e '/^(cuda|nvidia|triton)/d' "$$scratch/frozen"; } > constraints.txt

.PHONY: clean
clean: ## remove the virtual environment, caches and what the demo wrote
	rm -rf $(VENV) $(BENCH_VENV) build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	$(require-python)
	@echo 'Setting up $(VENV): this takes a few minutes, and again only when the dependencies change.'
	@$(PYTHON) -m venv $(VENV) || { echo 'Python could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

$(BENCH_READY): pyproject.toml constraints.txt
	$(require-python)
	@echo 'Setting up $(BENCH_VENV): this takes a few minutes, and again only when the dependencies change.'
	@$(PYTHON) -m venv $(BENCH_VENV) || { echo 'Python could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	grep -v '^scipy==' constraints.txt > $(BENCH_VENV)/constraints.txt
	$(BENCH_VENV)/bin/python -m pip install --disable-pip-version-check --constraint $(BENCH_VENV)/constraints.txt --editable '.[bench]'
	@touch $@

define require-python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
|| { echo "scatonline needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
endef
