"""`python -m benchmarks.replay`: CPU of the replay of a ten-step run, and bytes of its file."""

import argparse
import asyncio
import gc
import json
import time
from typing import Any, cast

from benchmarks.table import print_table
from graph.compose import make_replayer, open_runs
from graph.runs.history import compared
from graph.runs.replay import Replayer
from graph.settings import Settings
from graph.state import RunState

STEPS = 10
PROMPT = ", then ".join(f"{n} * 7 + 1" for n in range(1, STEPS + 1))
SETTINGS = Settings(database_url="memory://", answer="never")


async def recorded() -> RunState:
    """A run of ten steps that patterns have planned, as its file has it."""
    async with open_runs(SETTINGS) as runs:
        run_id = (await runs.start(PROMPT))["run_id"]
        await runs.wait(run_id, 60, owner=None)
        exported = await runs.replays.export(run_id, owner=None)
    state = cast("RunState", exported["run"])
    assert (state["status"], len(state["log"])) == ("completed", STEPS), state
    return state


def modelled(state: RunState) -> RunState:
    """The same as if a model had planned it."""
    copy: Any = json.loads(json.dumps(state))
    [call], [made] = copy["planning_log"], copy["plan"]["rounds"]
    steps = [
        {"reasoning": step["reasoning"], "tool": step["tool"], "input": step["input"]}
        for step in copy["plan"]["steps"]
    ]
    raw = json.dumps({"steps": steps, "then": "done", "answer": None})
    tokens = {"input_tokens": 900, "output_tokens": 300, "usd": 0.001}
    call |= {"planner": "llm", "model": "some/model", "raw": raw, "purpose": "plan", **tokens}
    copy["planned_by"] |= {"source": "llm", "model": "some/model"}
    made["planned_by"] = copy["planned_by"]
    copy["usage"] |= {"calls": 1, **tokens}
    return cast("RunState", copy)


async def cpu(replayer: Replayer, state: RunState, times: int) -> float:
    """Milliseconds of CPU of one replay and comparison, over so many."""
    assert (await compared(replayer, state))["same"], await compared(replayer, state)
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        await compared(replayer, state)
    return (time.process_time() - began) * 1000 / times


async def measure(times: int) -> dict[str, float]:
    state, replayer = await recorded(), make_replayer(SETTINGS)
    return {
        "planned by patterns: CPU, ms": await cpu(replayer, state, times),
        "planned by a model: CPU, ms": await cpu(replayer, modelled(state), times),
        "its state as JSON, kB": len(json.dumps(state)) / 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=50, help="replays of a round")
    options = parser.parse_args()
    print_table([asyncio.run(measure(options.times)) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
