"""Does tasks with a server of ours, and with whoever its answers come from."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from benchmarks.agent.kills import Moment
from benchmarks.agent.provider import Provider, provider
from benchmarks.agent.script import SERVER, Script
from benchmarks.agent.tasks import Call, Documented, Task
from benchmarks.server import HERE, Server
from tests.support.servers.forks.forked import Forked

#: Longest wait for one answer of ours, in seconds.
PATIENCE = 120

SETTLED = ("completed", "failed", "cancelled")


@dataclass
class Done:
    """What came of a task: the record of each turn's run, and what it took."""

    task: Task
    records: list[dict[str, Any]] = field(default_factory=list)
    fault: str | None = None
    asked: int = 0
    journal: list[dict[str, Any]] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    in_doubt: dict[str, int] = field(default_factory=lambda: {"done": 0, "redo": 0})

    @property
    def planned(self) -> int:
        """Calls of the model that stand in the records."""
        log = [entry for record in self.records for entry in record["planning_log"]]
        return sum(entry["planner"] == "llm" and entry["outcome"] != "skipped" for entry in log)

    def rounds(self, why: str | None = None) -> int:
        """Rounds of all turns."""
        rounds = [one for record in self.records for one in record["plan"]["rounds"]]
        return sum(why in (None, one["why"]) for one in rounds)


def calls_of(record: dict[str, Any]) -> list[Call]:
    """The calls that a record says were made, those that failed included."""
    resolved = {
        (entry["step"], entry["as"]) for entry in record["marks"] if entry["what"] == "resolved"
    }
    return [
        Call(entry["tool"].removeprefix(f"{SERVER}."), entry["input"])
        for entry in record["execution_log"]
        if entry["status"] == "ok"
        or (entry["status"] == "in_doubt" and (entry["step"], "done") in resolved)
        or (entry["error"] and entry["error"]["type"] == "ToolError")
    ]


class LoadedServer(Server):
    """A server forked from a process in which the program and the models' client are loaded.

    Loading them takes five to ten seconds of work, and there are hundreds of starts.
    """

    def _process(
        self, command: Sequence[str], environment: dict[str, str], stderr: IO[str], folder: str
    ) -> Forked:
        return Forked(
            ["serve"], cwd=Path(folder), env=environment, stderr=stderr.fileno(), with_models=True
        )


class Bench:
    """A server of ours, the model and the tools; the server is started anew when it was killed."""

    def __init__(
        self, folder: str, tools_url: str, model: Provider, tools: dict[str, Documented]
    ) -> None:
        self.tools_url, self.model, self.tools = tools_url, model, tools
        self._folder = folder
        servers = {SERVER: {"url": f"{tools_url}/mcp"}}
        file = Path(folder) / "mcp.json"
        file.write_text(json.dumps({"mcpServers": servers}))
        models = [{"model": "openai/scripted", "api_base": model.url}]
        self._settings = {"mcp": str(file), "models": json.dumps(models)}
        self._world = httpx.Client(base_url=tools_url, trust_env=False, timeout=30)
        self._start()

    def _start(self) -> None:
        self.server = LoadedServer(self._folder, **self._settings)
        self._http = httpx.Client(base_url=self.server.url, trust_env=False, timeout=PATIENCE + 10)

    def end(self) -> None:
        """End the server."""
        self.server.end()

    def do(
        self,
        task: Task,
        scripts: Sequence[Script],
        *,
        name: str,
        kill: Moment | None = None,
        **options: int,
    ) -> Done:
        """A run for each turn; `name` tells this doing of the task from others."""
        self._world.post("/load", json={"task": task.name}).raise_for_status()
        done, before = Done(task), self.model.count
        if kill:
            kill.aim(self.server.process.pid, self.model, self.tools_url)
        for number, (prompt, script) in enumerate(zip(task.prompts, scripts, strict=True)):
            self.model.answer = script
            body = {"prompt": prompt, "tools": self._of(task), **options}
            done.records.append(self._run(done, body, f"{name}-{task.name}-{number}"))
        if kill:
            self._end_of_kill(done)
        done.asked = self.model.count - before
        done.journal = self._world.get("/journal").json()
        made = [calls_of(record) for record in done.records]
        done.fault = task.fault(made) or self._difference(made, done.journal)
        return done

    def _of(self, task: Task) -> list[str]:
        return [f"{SERVER}.{name}" for name, one in self.tools.items() if one.of in task.classes]

    def _run(self, done: Done, body: dict[str, Any], key: str) -> dict[str, Any]:
        """The record of a settled run, whatever happens to the server meanwhile."""
        posted = {"json": body, "headers": {"Idempotency-Key": key}}
        while True:
            try:
                answer = self._http.post("/runs/wait", params={"timeout": PATIENCE}, **posted)
                if not answer.is_success:
                    raise RuntimeError(f"{key}: {answer.text}")
                record = answer.json()
                while record["status"] not in SETTLED:
                    if record["in_doubt"]:
                        self._resolve(done, record)
                    where = f"/runs/{record['run_id']}/wait"
                    record = self._http.get(where, params={"timeout": PATIENCE}).json()
                return record
            except httpx.TransportError:
                self._restart(done)

    def _restart(self, done: Done) -> None:
        self.server.process.wait(30)
        done.kills += 1
        self.model.before = self.model.after = lambda _: None
        self._start()

    def _end_of_kill(self, done: Done) -> None:
        """The kill may come after the last answer, but it has come before the next task."""
        deadline = time.monotonic() + 5
        while not done.kills and time.monotonic() < deadline:
            if self.server.process.poll() is not None:
                self._restart(done)
            time.sleep(0.01)

    def _resolve(self, done: Done, record: dict[str, Any]) -> None:
        """Say what became of the step, as somebody does who looks at what the tool has done."""
        acted = [one for one in self._world.get("/journal").json() if not one["reads"]]
        known = [
            call
            for one in [*done.records, record]
            for call in calls_of(one)
            if not self.tools[call.tool].reads(call.tool)
        ]
        if len(acted) > len(known):
            assert f"{SERVER}.{acted[-1]['tool']}" == record["in_doubt"]["tool"], record
            said = {"as": "done", "output": acted[-1]["output"]}
        else:
            said = {"as": "redo"}
        answer = self._http.post(f"/runs/{record['run_id']}/resolve", json=said)
        answer.raise_for_status()
        done.in_doubt[said["as"]] += 1

    def _difference(
        self, made: Sequence[Sequence[Call]], journal: Sequence[dict[str, Any]]
    ) -> str | None:
        """Where records and journal differ; a tool that only reads may be called again."""
        told = [call for turn in made for call in turn]
        done = [Call(entry["tool"], entry["arguments"]) for entry in journal]
        for calls in (told, done):
            calls[:] = [call for call in calls if not self.tools[call.tool].reads(call.tool)]
        if told != done:
            return f"the records tell {list(map(str, told))}, done was {list(map(str, done))}"
        return None


@contextmanager
def bench(tools: dict[str, Documented]) -> Iterator[Bench]:
    """All processes of the benchmark, ended afterwards."""
    command = [sys.executable, "-m", "benchmarks.agent.tool_server"]
    world = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE)
    try:
        assert world.stdout
        url = world.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder, provider() as model:
            made = Bench(folder, url, model, tools)
            try:
                yield made
            finally:
                made.end()
    finally:
        world.terminate()
        world.wait(10)
