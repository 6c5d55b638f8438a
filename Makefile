# The verbs of this repository. Everything is installed into .venv; nothing outside of the clone is touched.
# A stamp file stands for an environment that is up to date, so that a second run installs nothing.

BIN := .venv/bin
PINNED := scripts/install requirements/uv.txt pyproject.toml $(wildcard packages/*/pyproject.toml)
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt bench docs size brokers-up brokers-down
# The working steps run one after the other even under make -j: they share an environment.
.NOTPARALLEL:

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r verb what; do printf '%-14s%s\n' "$$verb" "$$what"; done

setup: .venv/.dev ## install the pinned tools and the workspace into .venv

demo: $(if $(wildcard .venv/.dev),.venv/.dev,.venv/.run) ## watch the example pipeline run under supervision
	$(BIN)/callboard demo $(ARGS)

test: .venv/.dev ## run the whole suite; make test ARGS="tests/di -k cycle" runs a part
	$(if $(ARGS),$(BIN)/pytest $(ARGS),$(BIN)/python scripts/test)

check: .venv/.dev ## check format, lint, types, borders and the docs build
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(MAKE) --no-print-directory docs

fmt: .venv/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv-bench/.bench ## measure beside FastStream, pykka, bare clients and bare queues, in an environment of its own
	.venv-bench/bin/python benchmarks/overhead.py $(ARGS)
	.venv-bench/bin/python benchmarks/middlewares.py $(ARGS)
	.venv-bench/bin/python benchmarks/path.py $(ARGS)
	.venv-bench/bin/python benchmarks/actors.py $(ARGS)
	scripts/brokers up
	.venv-bench/bin/python benchmarks/kafka.py
	.venv-bench/bin/python -P benchmarks/nats.py
	.venv-bench/bin/python -P benchmarks/rabbit.py
	.venv-bench/bin/python -P benchmarks/redis.py
	.venv-bench/bin/python benchmarks/latency.py

docs: .venv/.dev ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

size: ## count the lines of code of every package, beside its budget
	@scripts/size

brokers-up: ## start the brokers that tests marked `broker` need
	@scripts/brokers up

brokers-down: ## stop them
	@scripts/brokers down

.venv/.dev: $(PINNED) requirements/dev.txt
	scripts/install .venv requirements/dev.txt
	@touch .venv/.run $@

# The same environment with less in it: make setup adds the rest.
.venv/.run: $(PINNED) requirements/run.txt
	scripts/install .venv requirements/run.txt
	@touch $@

.venv-bench/.bench: $(PINNED) benchmarks/requirements.txt
	scripts/install .venv-bench benchmarks/requirements.txt
	@touch $@
