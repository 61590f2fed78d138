# Two commands are enough on a fresh Debian or Ubuntu machine, as root: `make demo` and `make test`.
# The other targets are their parts. Set-up can be repeated: it only creates missing parts.

PY      ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
LAB     := tests/lab/lab

.PHONY: help setup lab demo test test-fast attack fuzz bench bench-quick bench-memory lint types check schemas catalogue reference clean
.DEFAULT_GOAL := help

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(VENV)/.ready  ## a virtual environment with cortexctl and the tools of its tests

$(VENV)/.ready: pyproject.toml tools/venv.sh
	@PY=$(PY) tools/venv.sh $(VENV)
	@touch $@

lab: setup  ## a Docker daemon and the images for the demo and the tests (tests/lab/README.md)
	@PATH=$(CURDIR)/$(BIN):$$PATH $(LAB) up

demo: lab  ## the main job on this machine: plan, apply, request, break, fix, destroy
	@$(LAB) exec tools/demo.sh

test: lab  ## all tests, on a real Docker daemon, real vLLM and a real browser too
	@tools/browser.sh
	@$(LAB) remote
	@$(LAB) podman
	@$(LAB) exec tools/test.sh $(BIN)

test-fast: setup  ## the tests that need neither a Docker daemon nor a browser
	@$(BIN)/pytest -m "not engine and not vllm and not browser" -n auto --dist loadfile

attack: lab  ## random kills, lies, mutations and planted secrets, on a real Docker daemon: 40 minutes, and a table (ATTACK="--seed 7")
	@$(LAB) exec $(BIN)/python -m tests.attack $(ATTACK)

fuzz: setup  ## random stacks, plans, snapshots, labels, logs, argument lines and answers, without a daemon (MINUTES=10 SEED=1)
	@$(BIN)/python -m tests.attack.fuzz --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

bench: BENCH = --out bench/results.md
bench: bench-run  ## speed against docker compose and bare clients, as ratios: 15 minutes, and a table (BASE=git-ref-or-folder)

bench-quick: BENCH = --quick
bench-quick: bench-run  ## the same with smaller sizes: a minute or two (BASE=git-ref-or-folder)

bench-memory: setup  ## errors of the memory forecast against measured starts and published reports: a second (BASE=git-ref-or-folder)
	@$(BIN)/python -m bench.memory $(if $(BASE),--before $(BASE))

.PHONY: bench-run
bench-run: setup
	@PATH=$(CURDIR)/$(BIN):$$PATH $(LAB) up --no-vllm
	@$(BIN)/python -m bench.compose
	@base=$(if $(BASE),$$($(BIN)/python -m bench.base $(BASE))) && \
	$(LAB) exec $(BIN)/python -m bench $(BENCH) $${base:+--base $$base}

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

check: lint types test  ## what CI runs

schemas: setup  ## write the published JSON Schemas again
	@$(BIN)/cortexctl schema stack > schemas/stack.schema.json
	@$(BIN)/cortexctl schema plan > schemas/plan.schema.json
	@$(BIN)/cortexctl schema drift > schemas/drift.schema.json
	@$(BIN)/cortexctl schema doctor > schemas/doctor.schema.json
	@$(BIN)/cortexctl schema events > schemas/events.schema.json

catalogue: setup  ## write reviewed.json again, after a change of reviewed.toml: what people know about vLLM's options
	@$(BIN)/python -m tools.reviewed

reference: setup  ## write the pages of docs/reference, the text of --help and the picture of the README again
	@COLUMNS=80 $(BIN)/cortexctl --no-color --help > cortexctl/cli/help.txt
	@$(BIN)/python -m tools.reference
	@$(BIN)/python -m tools.picture

clean:  ## remove what the build made here (the lab's cache stays: tests/lab/lab down --purge)
	rm -rf $(VENV) .lab .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
