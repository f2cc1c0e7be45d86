# Everything a person does with a clone. `make` alone says what there is.

.DEFAULT_GOAL := help
.PHONY: help run test test-long end-to-end demo lint types schema permissions lock web interop bootstrap bootstrap-dev

BIN := .venv/bin
UV := .cache/uv/bin/uv

# For `make demo`: what is asked, of which document.
QUESTION ?= How long is an access token valid?
ifeq ($(origin FILE),undefined)
FILE := $(firstword $(wildcard demo/*.pdf))
endif
# To the letter, through the environment: neither make nor the shell may read `$20`, quotes or backticks in a question.
override QUESTION := $(value QUESTION)
override FILE := $(value FILE)
export QUESTION FILE
ASK ?= $(if $(FILE),--file "$$FILE") -- "$$QUESTION"
# For `make test`: what is passed to pytest besides the number of processes.
ARGS ?=

help: ## What there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: bootstrap ## Start everything on this machine; settings come from the environment, such as PORT=8001
	@$(BIN)/python web/build || echo "GraphiQL could not be built; the API starts without it."
	@exec $(BIN)/colloquy run

test: bootstrap-dev web interop ## Run the tests on real embedded servers (ARGS="-k upload" for some of them)
	@$(BIN)/pytest -n 2 -m "not end_to_end and not long" $(ARGS)
	@echo "Left out: what takes long. make test-long and make end-to-end run that, .ci/run runs everything."

test-long: bootstrap-dev web interop ## Run the tests that make test leaves out: processes killed, time limits waited for
	@$(BIN)/pytest -n 2 -m "long" $(ARGS)

end-to-end: bootstrap-dev ## Start the whole product as a person does, ask it, kill parts of it, start it again
	@$(BIN)/pytest -m end_to_end $(ARGS)

demo: bootstrap ## Ask the running product a question about a shipped document (QUESTION=..., FILE=..., or all of ASK=...)
	@exec $(BIN)/colloquy ask $(ASK)

lint: bootstrap-dev ## Check style, format and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: bootstrap-dev ## Check types
	@$(BIN)/mypy

schema: bootstrap ## Write schema.graphql from the code
	@$(BIN)/colloquy schema > schema.graphql.new && mv schema.graphql.new schema.graphql

permissions: bootstrap ## Write docs/permissions.md from the code
	@$(BIN)/colloquy permissions > docs/permissions.md.new && mv docs/permissions.md.new docs/permissions.md

web: bootstrap ## Build the web pages, if their sources have changed
	@$(BIN)/python web/build

# The npm packages of tests/interop; the tests would install them themselves, in their own time.
interop: bootstrap-dev
	@$(BIN)/python tests/interop/install > /dev/null

lock: $(UV) ## Pin all dependencies anew, with hashes
	$(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q -o requirements.lock
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q -o requirements-dev.lock

bootstrap:
	@scripts/bootstrap requirements.lock

bootstrap-dev:
	@scripts/bootstrap requirements-dev.lock

$(UV):
	@python3 -m venv .cache/uv
	@.cache/uv/bin/pip install -q --disable-pip-version-check uv
