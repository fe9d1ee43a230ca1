"""A real small model that plans for us, beside a loop that asks it after every call.

Both ways do the same tasks with the same model in the same minutes, a task of each in turn: so a
part of them is a fair pair too. Both are held to the same longest answer, at temperature 0, and
their tools are described by the same functions and return the same nothing.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from benchmarks.agent.driver import PATIENCE, SETTLED, LoadedServer, calls_of
from benchmarks.agent.neutral import Journal, neutral_tools
from benchmarks.agent.react import React
from benchmarks.agent.script import SERVER
from benchmarks.agent.single import KINDS, Single, read_singles
from tests.support.models.real_model import real_model

#: The longest answer of the model, in tokens: more than any right plan of these tasks has.
MAX_TOKENS = 700

HEAD = ("", "tasks", "solved", "%", "asked", "a task", "in", "out", "in a task", "out a task")
HEAD += ("repairs", "looks", "as text", "s", "s a task")


@dataclass(frozen=True)
class Tried:
    """A task that was done in one way: what was wrong with it, and what it took."""

    task: Single
    fault: str | None
    asked: int
    tokens_in: int
    tokens_out: int
    seconds: float
    repairs: int = 0
    looks: int = 0
    read: int = 0
    ended: str = ""


class Ours:
    """A server of ours whose only model is the one at `base`, with the tools of all tasks."""

    def __init__(self, folder: str, base: str, tools_url: str) -> None:
        file = Path(folder) / "mcp.json"
        file.write_text(json.dumps({"mcpServers": {SERVER: {"url": tools_url}}}))
        self._server = LoadedServer(
            folder,
            mcp=str(file),
            models=json.dumps([{"model": "openai/local", "api_base": base}]),
            temperature="0",
            model_timeout="600",
            model_max_tokens=str(MAX_TOKENS),
            breaker_failures="1000",
        )
        self._http = httpx.Client(base_url=self._server.url, trust_env=False, timeout=PATIENCE + 10)

    def end(self) -> None:
        """End the server."""
        self._http.close()
        self._server.end()

    def record(self, task: Single) -> dict[str, Any]:
        """The record of a settled run with the tools of the task."""
        tools = [f"{SERVER}.{one.name}" for one in task.functions]
        answer = self._http.post("/runs", json={"prompt": task.prompt, "tools": tools})
        if not answer.is_success:
            raise RuntimeError(f"{task.name}: {answer.text}")
        record = answer.json()
        while record["status"] not in SETTLED:
            where = f"/runs/{record['run_id']}/wait"
            record = self._http.get(where, params={"timeout": PATIENCE}).json()
        return dict(record)


def tried_of(task: Single, record: dict[str, Any], seconds: float) -> tuple[Tried, Tried]:
    """What our run came to, and what it would have come to after its first plan.

    The second is exact but for the seconds: the messages that ask for the first plan are the same
    whatever the number of rounds, and in a last round `look` is read as `done`.
    """
    rounds = record["plan"]["rounds"]
    log = [one for one in record["planning_log"] if one["planner"] == "llm"]
    first_log = [one for one in log if one["round"] == 1]
    last = rounds[0]["last"] if rounds else 0
    first_calls = [one for one in record["execution_log"] if one["step"] <= last]

    def tried(logged: Sequence[Any], executed: Sequence[Any]) -> Tried:
        calls = calls_of({**record, "execution_log": executed})
        milliseconds = sum(one["duration_ms"] for one in logged)
        return Tried(
            task,
            task.fault(calls),
            len(logged),
            sum(one["input_tokens"] or 0 for one in logged),
            sum(one["output_tokens"] or 0 for one in logged),
            milliseconds / 1000,
            sum(one["outcome"] == "rejected" for one in logged),
            ended=f"{record['status']} {json.dumps(record['error'])}",
        )

    whole = tried(log, record["execution_log"])
    looks = sum(one["why"] == "look" for one in rounds)
    return replace(whole, seconds=seconds, looks=looks), tried(first_log, first_calls)


@contextmanager
def ways(
    tasks: Sequence[Single], keep: Path | None
) -> Iterator[Callable[[Single], dict[str, Tried]]]:
    """What does a task in each way, one after the other; `keep` gets records and calls."""
    journal = Journal()
    functions = [one for task in tasks for one in task.functions]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        base = stack.enter_context(real_model("qwen", Path(folder), threads=1))
        url = stack.enter_context(neutral_tools(functions, journal))
        ours = Ours(folder, base, url)
        stack.callback(ours.end)
        react = React(base, MAX_TOKENS)

        def do(task: Single) -> dict[str, Tried]:
            began = time.perf_counter()
            record = ours.record(task)
            seconds = time.perf_counter() - began
            made = journal.taken()
            rounds, one = tried_of(task, record, seconds)
            assert calls_of(record) == made, (task.name, record["execution_log"], made)
            began = time.perf_counter()
            looped = react.do(task, journal.act)
            seconds = time.perf_counter() - began
            calls = journal.taken()
            loop = Tried(
                task,
                task.fault(calls),
                *(looped.asked, looped.tokens_in, looped.tokens_out, seconds),
                read=looped.read,
                ended=looped.ended,
            )
            once = [call for n, call in enumerate(calls) if call not in calls[:n]]
            if keep:
                told = {**vars(looped), "calls": [*map(str, calls)], "fault": loop.fault}
                kept = {"task": task.name, "record": record, "fault": rounds.fault, "loop": told}
                with keep.open("a") as file:
                    file.write(f"{json.dumps(kept)}\n")
            return {
                "rounds": rounds,
                "one plan": one,
                "a call per step": loop,
                "its repeats aside": replace(loop, fault=task.fault(once)),
            }

        yield do


def row(name: str, tried: Sequence[Tried]) -> list[str]:
    """A line of the table."""
    count = max(1, len(tried))
    solved = sum(one.fault is None for one in tried)
    asked, seconds = sum(one.asked for one in tried), sum(one.seconds for one in tried)
    into, out = sum(one.tokens_in for one in tried), sum(one.tokens_out for one in tried)
    figures = (
        *(len(tried), solved, f"{100 * solved / count:.0f}", asked, f"{asked / count:.1f}"),
        *(into, out, f"{into / count:.0f}", f"{out / count:.0f}"),
        *(sum(one.repairs for one in tried), sum(one.looks for one in tried)),
        sum(one.read for one in tried),
        *(f"{seconds:.0f}", f"{seconds / count:.1f}"),
    )
    return [name, *map(str, figures)]


def real(count: int, minutes: float, keep: Path | None = None) -> list[list[str]]:
    """Do so many tasks, or as many as are begun in so many minutes; lines of the table.

    What was wrong with a task is told as it comes. The model computes with one thread, whose speed
    depends least on what else the machine does.
    """
    tasks, all_tried = read_singles(count), list[dict[str, Tried]]()
    began = time.monotonic()
    with ways(tasks, keep) as do:
        for task in tasks:
            if time.monotonic() - began > minutes * 60:
                break
            tried = do(task)
            all_tried.append(tried)
            told = "; ".join(
                f"{way}: {f'{one.fault[:200]} ({one.ended[:150]})' if one.fault else 'solved'}"
                for way, one in tried.items()
            )
            print(f"real: {task.name}: {told}", flush=True)
    rows = []
    for way in all_tried[0] if all_tried else ():
        done = [tried[way] for tried in all_tried]
        rows.append(row(way, done))
        rows += [row(f"  {kind}", [one for one in done if one.task.kind == kind]) for kind in KINDS]
    pairs = [(one["rounds"].fault, one["a call per step"].fault) for one in all_tried]
    both = sum(ours is None and loop is None for ours, loop in pairs)
    only_ours = sum(ours is None and loop is not None for ours, loop in pairs)
    only_loop = sum(ours is not None and loop is None for ours, loop in pairs)
    print(
        f"real: of {len(pairs)} tasks both ways solved {both}, only rounds {only_ours}, only"
        f" a call per step {only_loop}, neither {len(pairs) - both - only_ours - only_loop}"
    )
    return rows
