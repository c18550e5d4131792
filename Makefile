# lockgate: from a clone to a running documentation bot, and to green tests.
# Settings: make up DOCS=/path/to/docs PORT=8000 TORCH_INDEX=<index URL of PyTorch's wheels>

PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 8000
# Test processes beside each other; each may load the models (1.5 GB).
JOBS ?= 2
DOCS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
# Without an NVIDIA GPU, PyTorch's own CPU wheels save gigabytes of CUDA libraries. Set it empty to use PyPI's wheel.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || echo $(TORCH_CPU_INDEX))
VLLM_VENV := .venv-vllm

.PHONY: up test check check-python environment models vllm test-vllm docs-cli fmt lint types imports tests slow bench bench-gate clean help

help:
	@echo "make up [DOCS=folder] [PORT=8000]  install what chat needs, index, serve"
	@echo "make test                          install the test tools, run the tests"
	@echo "make check                         what CI runs: format, lint, types, import directions, tests"
	@echo "make vllm                          install the vLLM server beside it; make check then tests with it, too"
	@echo "make slow | bench                  long tests | benchmarks"
	@echo "make bench-gate                    ten bad releases on the real model: each must be refused"

up: environment
	@$(BIN)/lockgate up $(if $(DOCS),"$(DOCS)") --port $(PORT)

check-python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; tested = ((3, 11),); \
	sys.exit(0 if v[:2] in tested else f"Python {v[0]}.{v[1]} is not a tested version. Tested: 3.11. Try: make PYTHON=python3.11")' \
	|| { echo "Lockgate needs Python 3.11 as $(PYTHON)." >&2; exit 1; }

environment: check-python $(VENV)/.installed

# One file marks a whole installation: a half one is not there, so the next make goes on with it.
$(VENV)/.installed: pyproject.toml constraints.txt scripts/install.sh scripts/installing.sh
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/install.sh "$(VENV)" ""
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/install.sh "$(VENV)" dev
	@touch $@

# vLLM has an environment of its own: its packages and ours do not fit together.
vllm: check-python $(VLLM_VENV)/.installed

$(VLLM_VENV)/.installed: requirements-vllm.txt scripts/install_vllm.sh
	@PYTHON="$(PYTHON)" TORCH_CPU_INDEX="$(TORCH_CPU_INDEX)" sh scripts/install_vllm.sh "$(VLLM_VENV)"
	@touch $@

models: environment
	@$(BIN)/lockgate models pull

test: check-python $(VENV)/.installed-dev models
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow and not shared and not vllm and not gpu"

check: check-python $(VENV)/.installed-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/cli_reference.py --check
	@$(MAKE) --no-print-directory test
	@if [ -f $(VLLM_VENV)/.installed ]; then $(MAKE) --no-print-directory test-vllm; fi

# Alone: a server takes both cores while it starts.
test-vllm: $(VENV)/.installed-dev models vllm
	@$(BIN)/python -m pytest -m "vllm and not gpu" $$(grep -rl --include='*.py' 'mark\.vllm' tests)

fmt: $(VENV)/.installed-dev
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/python scripts/cli_reference.py

slow: $(VENV)/.installed-dev models
	@$(BIN)/python -m pytest -m slow --timeout=1800

bench: $(VENV)/.installed-dev models
	@$(BIN)/python -m bench.embedding

bench-gate: $(VENV)/.installed-dev models
	@$(BIN)/python -m bench.gate

clean:
	rm -rf $(VENV) $(VLLM_VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
