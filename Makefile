# Every chore of the project. Needs make, coreutils and Python 3.11 or newer with venv.

PYTHON ?= python3
RUN := .venv/bin/python
STAMP := .venv/.complete
RUNTIME := .venv/.runtime
BROKER ?= embedded
# More workers than this wait for each other's RabbitMQ nodes.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; [ $$n -lt 2 ] && n=2; echo $$n)
PYTEST := $(RUN) -m pytest -n $(WORKERS) --dist loadfile
WITHOUT_BROKER := $(wildcard tests/unit tests/fuzz tests/mutation tests/journey tests/architecture)
SECONDS ?= 60
TIMES ?= 20
SYSTEM_TIMES ?= 3
TYPED := $(wildcard webhook_runner tests bench examples docs)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup lock broker database network fmt lint types imports unit check test test-repeat soak fuzz mutants bench figures chaos demo docs clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1           \2/; s/^  \(.\{11\}\) */  \1 /p' Makefile

setup: $(STAMP) ## create .venv with the package and what its tests need
	@:

define venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing or older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot create virtual environments (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "setting up .venv (less than a minute the first time)"
	@[ -x $(RUN) ] || $(PYTHON) -m venv .venv
endef
FAILED := { echo "make: the packages could not be installed; pip said why above" >&2; exit 1; }

$(STAMP): pyproject.toml requirements.lock
	$(venv)
	@$(RUN) -m pip install -qq --requirement requirements.lock --editable '.[fast]' || $(FAILED)
	@touch $(RUNTIME) $(STAMP)

# What the daemon alone needs comes in half the time.
$(RUNTIME): pyproject.toml requirements.lock
	$(venv)
	@$(RUN) -m pip install -qq --constraint requirements.lock --editable '.[fast]' || $(FAILED)
	@touch $(RUNTIME)

lock: ## write requirements.lock anew from pyproject.toml
	@[ -x $(RUN) ] || $(PYTHON) -m venv .venv
	@$(RUN) -m pip install -qq uv
	@$(RUN) -m uv pip compile --quiet pyproject.toml --group dev --extra fast --universal \
	  --python-version 3.11 --upgrade --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --output-file requirements.lock

broker: ## see to it that a RabbitMQ server can be started
	@sh tests/parts/install_rabbitmq.sh

database: ## see to it that a PostgreSQL server can be started
	@sh tests/parts/install_postgresql.sh

network: ## see to it that tests can have a network of their own
	@sh tests/parts/install_iproute2.sh

fmt: $(STAMP) ## format the code
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

lint: $(STAMP) ## style
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(STAMP) ## types
	@$(RUN) -m mypy $(TYPED)

imports: $(STAMP) ## who may import whom
	@$(RUN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

unit: $(STAMP) ## tests without a broker
	@$(PYTEST) $(WITHOUT_BROKER)

check: lint types imports unit ## lint, types, imports and unit: under a minute

# What cannot be had is told by the tests that need it.
define needs
@for each in rabbitmq postgresql iproute2 libfaketime; do sh tests/parts/install_$$each.sh || true; done
@sh tests/parts/install_bench.sh c || true
endef

test: $(STAMP) ## every test; brings RabbitMQ and PostgreSQL when it may
	$(needs)
	@$(PYTEST)

test-repeat: $(STAMP) ## every test many times, each time in another order (TIMES=20, SYSTEM_TIMES=3, SELECT=paths)
	$(needs)
	@$(RUN) -m bench.repeat --times $(TIMES) --system-times $(SYSTEM_TIMES) --workers $(WORKERS) $(SELECT)

fuzz: $(STAMP) ## made-up input for all that reads input, for SECONDS=60 each (ONLY=url,message, KEEP=1)
	@$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["fuzz"])' \
	  | xargs $(RUN) -m pip install -qq || $(FAILED)
	@$(RUN) -m tests.fuzz --seconds $(SECONDS) $(if $(ONLY),--only $(ONLY)) $(if $(KEEP),--keep)

mutants: $(STAMP) ## small wrong changes of the decisions: which the unit tests notice (ONLY=policy/retry.py)
	@$(RUN) -m tests.mutation $(if $(ONLY),--only $(ONLY))

# The rivals have an environment of their own: what they need cannot change what we run on.
RIVALS := .bench/venv/.complete
$(RIVALS): pyproject.toml
	@echo "setting up .bench/venv with the rivals (about a minute the first time)"
	@[ -x .bench/venv/bin/python ] || $(PYTHON) -m venv .bench/venv
	@$(RUN) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"], sep="\n")' \
	  > .bench/requirements.txt
	@.bench/venv/bin/python -m pip install -qq --requirement .bench/requirements.txt || $(FAILED)
	@touch $(RIVALS)

bench: $(STAMP) $(RIVALS) ## we beside Celery, dramatiq, taskiq, FastStream and Go (QUICK=1: in five minutes, WRITE=1)
	@sh tests/parts/install_rabbitmq.sh || true
	@sh tests/parts/install_bench.sh || true
	@$(RUN) -m bench.race $(if $(QUICK),--quick) $(if $(WRITE),--write) $(if $(ONLY),--only $(ONLY))

figures: $(STAMP) ## the figures of bench/README.md, in minutes (LONG=1: in hours)
	$(needs)
	@$(RUN) -m bench.figures $(if $(LONG),--long)

chaos: $(STAMP) ## daemons and RabbitMQ killed, frozen, cut off under load: nothing lost? (LONG=1: the figures)
	@sh tests/parts/install_rabbitmq.sh || true
	@$(RUN) -m bench.chaos --plan $(if $(LONG),long,short) $(CHAOS)

soak: $(STAMP) ## the model of the engine for long (EXAMPLES=10000, SEED=number)
	@$(RUN) -m tests.model.soak $(or $(EXAMPLES),10000) $(SEED)

demo: $(if $(filter rabbitmq,$(BROKER)),$(STAMP) demo-broker,$(RUNTIME)) ## see webhooks arrive (DURATION=seconds, BROKER=rabbitmq)
	@BROKER="$(BROKER)" DURATION="$(DURATION)" $(RUN) -m examples.demo

.PHONY: demo-broker
demo-broker:
	@sh tests/parts/install_rabbitmq.sh a-running-one-will-do

docs: $(STAMP) ## write docs/reference anew from the code
	@$(RUN) -m docs.generate

clean: ## remove what the other targets made
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* \
	  .fuzz .mutants.json .repeat .bench bench/results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
