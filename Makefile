# `make music PROMPT="…"` and `make test` are all that a newcomer needs; each sets up .venv itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROMPT ?= heroic brass fanfare over pounding taiko, 120 bpm, D minor
ARGS ?=
export PROMPT

.PHONY: music serve test check test-slow test-web test-gpu bench bench-gpu eval judges epic wheel format clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

music: $(VENV)/.ready ## make music PROMPT="…": write a piece and print where it is
	@$(BIN)/fanfare generate "$$PROMPT" $(ARGS)

serve: $(VENV)/.ready-server ## the playground and the API at http://127.0.0.1:8000
	@$(BIN)/fanfare serve $(ARGS)

# One thread a worker: two workers of two threads each would wait for one another.
test: $(VENV)/.ready-dev ## run the tests (a few minutes, offline, CPU; the page with a browser, if any)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not slow and not gpu and not web" --cov --cov-report=term:skip-covered $(ARGS)
	@if [ -n "$$ARGS" ]; then exit; elif command -v chromedriver >/dev/null; then $(MAKE) --no-print-directory test-web; \
	else echo "The page wasn't tested: it takes a browser (Debian: apt-get install chromium-driver)."; fi

check: $(VENV)/.ready-dev ## lint, format and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m fanfare.schema --check

format: $(VENV)/.ready-dev ## rewrite the code in the project's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test-slow: $(VENV)/.ready-dev ## tests that take longer
	@$(BIN)/python -m pytest -m "slow and not web" $(ARGS)

# The browser shares the cores with the server that it looks at: one test after the other.
test-web: $(VENV)/.ready-dev ## tests of the page in headless Chromium (apt: chromium-driver)
	@$(BIN)/python -m pytest -m web tests/web $(ARGS)

test-gpu: $(VENV)/.ready-dev ## tests that need a CUDA device
	@$(BIN)/python -m pytest -m "gpu" $(ARGS)

bench: $(VENV)/.ready-dev ## speed, memory and quality of epic-mini here, against the limits
	@for run in startup latency throughput codec memory growth quality "mbd --size tiny --whole"; do \
	  set -- $$run; name=$$1; shift; \
	  $(BIN)/python bench/$$name.py --repeats 3 "$$@" $(ARGS) && echo || exit 1; done

bench-gpu: $(VENV)/.ready-dev ## the same of MusicGen's sizes on a CUDA device, and its peers
	@$(BIN)/python bench/common.py
	@for size in small medium large; do \
	  for run in latency "throughput --pieces 1 8 32" codec memory growth peers; do \
	  set -- $$run; name=$$1; shift; \
	  $(BIN)/python bench/$$name.py --device cuda --weights random-$$size --duration 10 \
	    "$$@" $(ARGS) && echo || exit 1; done; done
	@$(BIN)/python bench/mbd.py --device cuda --whole $(ARGS)

eval: $(VENV)/.ready-plot ## how well epic-mini follows its prompts
	@$(BIN)/python -m fanfare.epic.evaluate $(ARGS)

judges: $(VENV)/.ready ## teach the probes that `make eval` judges by
	@$(BIN)/python -m fanfare.epic.judges $(ARGS)

epic: $(VENV)/.ready ## train epic-mini again: render, codec, language model, export
	@$(BIN)/python -m fanfare.epic.recipe $(ARGS)

wheel: $(VENV)/.ready-dev ## build the wheel into dist/
	@$(PIP) wheel --no-deps --wheel-dir dist .

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Fanfare needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv is missing: install it (Debian: python3-venv) and run again"; exit 1; }

$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once; a minute or two) ..."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-server: $(VENV)/.ready
	@$(PIP) install -c constraints.txt -e ".[server]"
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(PIP) install -c constraints.txt -e ".[dev,plot,server]"
	@touch $@

$(VENV)/.ready-plot: $(VENV)/.ready
	@$(PIP) install -c constraints.txt -e ".[plot]"
	@touch $@

clean: ## remove what was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .coverage
