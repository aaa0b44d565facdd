# make demo   a model trained from nothing, and asked two sentences
# make test   the tests a stranger should run (make check: the fast part, make test-long: the slow part)
#
# PYTHON=python3.12 chooses the interpreter, TORCH_INDEX=URL adds a package index for torch (the small CPU build).

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
WORKERS ?= 2

export TORCH_INDEX
export HFTUNE_TEST_CACHE ?= $(CURDIR)/.hftune-cache

.DEFAULT_GOAL := help
.PHONY: help demo check test test-long bench bench-tui bench-serve bench-explain quality prove-resume corpus lint set-up set-up-test clean

help:
	@echo "make demo          make .venv, install, train recipes/bert_cls.yaml, ask the model two sentences"
	@echo "make test          lint, types, layers and all tests but the long ones, with coverage"
	@echo "make check         the fast part of that"
	@echo "make test-long     fault sweeps, quality over seeds, installation from a wheel"
	@echo "make bench         hftune and transformers.Trainer in turn"
	@echo "make bench-tui     how quick the app is and what it costs, through a real terminal (4 minutes)"
	@echo "make bench-serve   what serving in batches reaches of what batches are worth (8 minutes with RUN=a run of bert_cls, else 15)"
	@echo "make bench-explain how long explaining a sentence takes, method by method (2 minutes with RUN=a run of bert_cls, else 6)"
	@echo "make quality       accuracy over three seeds beside transformers.Trainer (40 minutes)"
	@echo "make prove-resume  kill a run, resume it, compare the weights with those of an uninterrupted one"
	@echo "make corpus        the texts hftune:gpt2-mini was pretrained on (needs apt-get, npm)"

set-up:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: there is no $(PYTHON). Install it: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) .ci/set_up.py demo

set-up-test:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: there is no $(PYTHON). Install it: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) .ci/set_up.py test

demo: set-up
	@$(BIN)/python .ci/demo.py

lint: set-up-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/pytest -n $(WORKERS) -m "not long" tests/unit tests/architecture

test: lint
	$(BIN)/pytest -n $(WORKERS) -m "not long" --cov --cov-report=
	$(BIN)/python .ci/coverage.py

test-long: set-up-test
	$(BIN)/pytest -m long

bench: set-up-test
	$(BIN)/python tests/benchmarks/bench_training.py

bench-tui: set-up-test
	$(BIN)/python tests/benchmarks/bench_tui.py

bench-serve: set-up-test
	$(BIN)/python tests/benchmarks/bench_serve.py $(RUN)

bench-explain: set-up-test
	$(BIN)/python tests/benchmarks/bench_explain.py $(RUN)

quality: set-up-test
	$(BIN)/python tests/benchmarks/quality.py

prove-resume: set-up-test
	$(BIN)/python tests/faults/prove_resume.py

# apt-get (Debian or Ubuntu; unprivileged) has the novels, npm (sudo apt-get install npm) Moby-Dick and the addresses.
corpus: set-up
	$(BIN)/python -m hftune.starters.gpt2_mini.corpus corpus

clean:
	rm -rf .venv .hftune-cache build hftune.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage .import_linter_cache
