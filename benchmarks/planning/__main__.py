"""`python -m benchmarks.planning`: a planning call beside a raw HTTP call, start and memory.

The model is a local process that answers at once, so that what is left is ours and the client's.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from benchmarks.planning.provider import provider
from benchmarks.runs.prompt import PROMPT
from benchmarks.server import server
from benchmarks.table import print_table
from graph.compose import open_tools
from graph.models.client import close_clients
from graph.models.ladder import make_ladder, warm
from graph.settings import ModelSettings, Settings
from graph.state import DEFAULT_LIMITS, new_run
from nodes.plan import ModelPlanner
from nodes.planning.answer import answer_form
from nodes.planning.prompt import instructions, messages

MODEL = "openai/gpt-5-mini"


async def measured(calls: int, call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds of a call: the median of wall time, the mean of CPU."""
    for _ in range(5):
        await call()
    walls = []
    before = time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        walls.append((time.perf_counter() - began) * 1000)
    return statistics.median(walls), (time.process_time() - before) * 1000 / calls


async def planning(base: str, calls: int) -> dict[str, float]:
    """A raw call, one of the client, and a whole visit to the node."""
    settings = Settings(models=(ModelSettings(model=MODEL, api_base=base),))
    tools = open_tools(settings)
    form = answer_form(tools)
    ladder = make_ladder(settings)
    planner = ModelPlanner(ladder, tools)
    await warm(ladder)
    asked = messages(PROMPT, instructions(tools, form))
    named = {"name": "plan", "strict": True, "schema": form.schema}
    body = {
        "model": "m",
        "messages": asked,
        "max_completion_tokens": settings.model_max_tokens,
        "response_format": {"type": "json_schema", "json_schema": named},
    }
    run = new_run(PROMPT, run_id="1", owner="default", limits=DEFAULT_LIMITS, created_at=0.0)
    frugal = {"usd": 1.0, "tokens": None, "seconds": None, "steps": None, "on_exceeded": "fail"}

    async def visit(budget: object) -> None:
        turn, by = planner.judge(run)
        update = await planner.ask(run | {"planned_by": by, "budget": budget}, turn)
        assert update["plan"]["steps"], update

    figures = {}
    async with httpx.AsyncClient(trust_env=False) as http:
        for name, call in (
            ("raw HTTP call", lambda: http.post(f"{base}/chat/completions", json=body)),
            (
                "client",
                lambda: ladder.models[MODEL].complete(asked, form.schema, timeout=20),
            ),
            ("visit of `plan`", lambda: visit(None)),
            ("visit with a budget", lambda: visit(frugal)),
        ):
            wall, cpu = await measured(calls, call)
            figures[f"{name}: wall, ms"] = wall
            figures[f"{name}: CPU, ms"] = cpu
    await close_clients()
    return figures


def start(name: str, models: list[object]) -> dict[str, float]:
    """A server's start and memory before and after its first run."""
    with server(models=json.dumps(models)) as started:
        figures = {f"{name}: start to first 200, s": started.start_seconds}
        began = time.perf_counter()
        with httpx.Client(base_url=started.url, trust_env=False) as http:
            http.post("/runs/wait", json={"prompt": PROMPT}).raise_for_status()
        figures[f"{name}: first run, s"] = time.perf_counter() - began
        figures[f"{name}: CPU until then, s"] = started.cpu_ms() / 1000
        figures[f"{name}: memory then, MB"] = started.memory_mb()
        return figures


def one_round(calls: int) -> dict[str, float]:
    with provider() as base:
        return {
            **asyncio.run(planning(base, calls)),
            **start("no model", []),
            **start("a model", [{"model": MODEL, "api_base": base}]),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [one_round(options.calls) for _ in range(options.rounds)]
    print_table(rounds)


if __name__ == "__main__":
    main()
