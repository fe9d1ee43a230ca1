"""Call by call, client by client: what `/lg` answers beside LangGraph's development server.

`python -m tests.support.servers.lg.conformance` starts both and writes the table of
`docs/langgraph.md`. A difference that has no reason here is an error.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from tests.support.checkout import ROOT
from tests.support.servers.lg.javascript import JavaScriptClient, javascript
from tests.support.servers.server_process import serving
from tests.support.servers.studio_server import studio

PAGE = ROOT / "docs" / "langgraph.md"
BEGIN, END = "<!-- conformance: written by a script -->", "<!-- end of conformance -->"

PROMPT = {"prompt": "calculate 6 * 7"}
ASSISTANT = "runwright"

#: What is not as with the development server, and why.
_VALUES = "`messages` are a projection of the thread"
_RUN = "why it was cancelled is told; no traces go to LangSmith"
_THREAD = "what it asks, and why it failed, are told from the beginning"
_END = "`end` closes a stream, so that a cut is told from it"
REASONS: Mapping[str, str] = {
    "GET /assistants/{id}": "the graph's name goes wherever an id does",
    "GET /assistants/{id}/schemas": "the graph's name goes wherever an id does",
    "GET /assistants/{id}/subgraphs": "the graph's name goes wherever an id does",
    "POST /threads": _THREAD,
    "GET /threads/{id}": _THREAD,
    "PATCH /threads/{id}": _THREAD,
    "POST /threads/{id}/state": "what was executed stays: the edited state is a run that waits",
    "POST /threads/{id}/runs": _RUN,
    "GET /threads/{id}/runs": _RUN,
    "GET /threads/{id}/runs/{run}": _RUN,
    "GET /threads/{id}/runs/{run}/join": _VALUES,
    "GET /threads/{id}/runs/{run}/stream": "a run is told again for as long as it is kept",
    "POST /threads/{id}/runs, slow": _RUN,
    "POST /threads/{id}/runs/wait": _VALUES,
    "POST /threads/{id}/runs/wait, after an edit": _VALUES,
    "POST /threads/{id}/runs/wait, failed": "a run that failed is an error; there, its graph has "
    "ended as it should",
    "POST /threads/{id}/runs/stream": _END,
    "POST /threads/{id}/runs/stream, updates": _END,
    "POST /threads/{id}/runs/stream, custom": _END,
    "POST /threads/{id}/runs/stream, messages-tuple": f"the plan and outputs are messages; {_END}",
    "POST /threads/{id}/runs/stream, asking": _END,
    "POST /threads/{id}/runs/stream, answered": f"the same run goes on; {_END}",
    "POST /threads/{id}/runs/{run}/cancel": "answered without a body",
    "GET /threads/{id}/state, asking": _VALUES,
    "POST /runs/wait": _VALUES,
    "POST /runs/stream": _END,
}


@dataclass
class Session:
    """One client of one server; `told` is what it was answered, by the name of the call."""

    call: Callable[[str, str, tuple[Any, ...], Mapping[str, Any]], Any]
    told: dict[str, Any] = field(default_factory=dict)

    def ask(self, name: str, call: str, *given: Any, **options: Any) -> Any:
        """Make a call, and note what came of it."""
        area, _, method = call.partition(".")
        try:
            answer = self.call(area, method, given, options)
        except Exception as error:
            self.told[name] = f"refused: {type(error).__name__}"
            return None
        self.told[name] = shape(answer)
        return answer


def shape(answer: Any) -> Any:
    """What of an answer is compared: its fields, and how it ended."""
    if isinstance(answer, list) and answer and "event" in answer[0]:
        kinds = list(dict.fromkeys(part["event"] for part in answer))
        last = answer[-1]["data"]
        return {"events": kinds, "fields": sorted(last) if isinstance(last, dict) else None}
    if isinstance(answer, list):
        return [shape(answer[0])] if answer else []
    if isinstance(answer, dict):
        known = {"status", "next", "graph_id"}
        return {name: value if name in known else "…" for name, value in sorted(answer.items())}
    return answer


def scenario(session: Session) -> None:
    """Every call once, in an order that makes sense."""
    ask = session.ask
    ask("POST /assistants/search", "assistants.search")
    ask("GET /assistants/{id}", "assistants.get", ASSISTANT)
    ask("GET /assistants/{id}/graph", "assistants.get_graph", ASSISTANT)
    ask("GET /assistants/{id}/schemas", "assistants.get_schemas", ASSISTANT)
    ask("GET /assistants/{id}/subgraphs", "assistants.get_subgraphs", ASSISTANT)
    thread = ask("POST /threads", "threads.create", metadata={"who": "me"})["thread_id"]
    ask("GET /threads/{id}", "threads.get", thread)
    ask("PATCH /threads/{id}", "threads.update", thread, metadata={"more": "x"})
    ask("POST /threads/{id}/runs/wait", "runs.wait", thread, ASSISTANT, input=PROMPT)
    for mode in ("values", "updates", "custom", "messages-tuple"):
        suffix = "" if mode == "values" else f", {mode}"
        name = f"POST /threads/{{id}}/runs/stream{suffix}"
        ask(name, "runs.stream", thread, ASSISTANT, input=PROMPT, stream_mode=mode)
    run = ask("POST /threads/{id}/runs", "runs.create", thread, ASSISTANT, input=PROMPT)["run_id"]
    ask("GET /threads/{id}/runs/{run}/join", "runs.join", thread, run)
    ask("GET /threads/{id}/runs/{run}/stream", "runs.join_stream", thread, run)
    ask("GET /threads/{id}/runs/{run}", "runs.get", thread, run)
    ask("GET /threads/{id}/runs", "runs.list", thread)
    ask("POST /threads/search", "threads.search", metadata={"who": "me"})
    state = ask("GET /threads/{id}/state", "threads.get_state", thread)
    at = state["checkpoint"]["checkpoint_id"]
    ask("GET /threads/{id}/state/{checkpoint}", "threads.get_state", thread, checkpoint_id=at)
    history = ask("POST /threads/{id}/history", "threads.get_history", thread, limit=100)
    before = next(one for one in history if one["next"] == ["execute_step"])
    ask(
        "POST /threads/{id}/state",
        "threads.update_state",
        thread,
        {"run": {"cursor": 0}},
        checkpoint=before["checkpoint"],
    )
    ask("POST /threads/{id}/runs/wait, after an edit", "runs.wait", thread, ASSISTANT)
    failing = {"prompt": "frobnicate the xyzzy"}
    ask("POST /threads/{id}/runs/wait, failed", "runs.wait", thread, ASSISTANT, input=failing)
    ask("POST /runs/wait", "runs.wait", None, ASSISTANT, input=PROMPT)
    ask("POST /runs/stream", "runs.stream", None, ASSISTANT, input=PROMPT)
    slow = {"prompt": "sleep 30 seconds"}
    name = "POST /threads/{id}/runs, slow"
    held = ask(name, "runs.create", thread, ASSISTANT, input=slow)["run_id"]
    second = {"input": PROMPT, "multitask_strategy": "reject"}
    ask("multitask_strategy reject", "runs.create", thread, ASSISTANT, **second)
    ask("POST /threads/{id}/runs/{run}/cancel", "runs.cancel", thread, held, wait=True)
    ask("DELETE /threads/{id}/runs/{run}", "runs.delete", thread, run)
    ask("DELETE /threads/{id}", "threads.delete", thread)


def questions(session: Session, given: Mapping[str, Any]) -> None:
    """A run that asks about its plan, for which `given` sees; and the answer."""
    thread: str = session.ask("POST /threads", "threads.create")["thread_id"]
    stream = "POST /threads/{id}/runs/stream"
    both: Mapping[str, Any] = {"input": PROMPT, "stream_mode": "updates"}
    session.ask(f"{stream}, asking", "runs.stream", thread, ASSISTANT, **both, **given)
    session.ask("GET /threads/{id}/state, asking", "threads.get_state", thread)
    answer = {"command": {"resume": True}, "stream_mode": "updates"}
    session.ask(f"{stream}, answered", "runs.stream", thread, ASSISTANT, **answer)


def python(client: SyncLangGraphClient) -> Session:
    """The official Python client."""

    def call(area: str, method: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        answer = getattr(getattr(client, area), method)(*given, **options)
        if isinstance(answer, Iterator):
            return [{"event": part.event, "data": part.data} for part in answer]
        return answer

    return Session(call)


#: How JavaScript's client takes what Python's takes by name.
_POSITIONS = {"runs.cancel": ("wait",), "threads.get_state": ("checkpoint_id",)}


def camel(name: str) -> str:
    """A name as JavaScript writes it."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def javascripted(client: JavaScriptClient) -> Session:
    """The official JavaScript client."""

    def call(area: str, method: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        named = _POSITIONS.get(f"{area}.{method}")
        if f"{area}.{method}" == "threads.update_state":
            given, options = given[:1], {**options, "values": given[1]}
        if named:
            arguments = [*given, *(options[name] for name in named if name in options)]
        else:
            arguments = [*given, {camel(name): value for name, value in options.items()}]
        return client.call(area, camel(method), *arguments)

    return Session(call)


def remote(client: SyncLangGraphClient) -> dict[str, str]:
    """What `RemoteGraph` makes of a server."""
    graph = RemoteGraph(ASSISTANT, sync_client=client)
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    told = {}
    calls: Mapping[str, Callable[[], Any]] = {
        "get_graph": graph.get_graph,
        "invoke": lambda: graph.invoke(PROMPT, config),
        "stream": lambda: [*graph.stream(PROMPT, config)],
        "get_state": lambda: graph.get_state(config),
        "get_state_history": lambda: [*graph.get_state_history(config)],
        "update_state": lambda: graph.update_state(config, {"run": {"cursor": 0}}),
    }
    for name, call in calls.items():
        try:
            call()
            told[name] = "yes"
        except Exception as error:
            told[name] = type(error).__name__
    return told


def table(ours: list[Session], theirs: list[Session], graphs: list[dict[str, str]]) -> list[str]:
    """The lines of the page."""
    lines = [
        "| call | Python | JavaScript | development server | what differs | why |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, told in ours[0].told.items():
        own = " | ".join(_worked(session.told.get(name, "not made")) for session in ours)
        official = theirs[0].told.get(name, "not made")
        differs = difference(told, official)
        why = REASONS.get(name, "?") if differs else ""
        lines.append(f"| `{name}` | {own} | {_worked(official)} | {differs} | {why} |")
    lines += ["", "| `RemoteGraph` | here | development server |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {told} | {graphs[1][name]} |" for name, told in graphs[0].items()]
    return lines


def difference(ours: Any, theirs: Any) -> str:
    """What one answer has and the other has not, field by field."""
    if ours == theirs:
        return ""
    if isinstance(ours, list) and isinstance(theirs, list) and ours and theirs:
        return difference(ours[0], theirs[0])
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return "the answer"
    told = [f"here `{name}`" for name in ours if name not in theirs]
    told += [f"there `{name}`" for name in theirs if name not in ours]
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            if isinstance(ours[name], list):
                more = [one for one in ours[name] if one not in (theirs[name] or ())]
                less = [one for one in theirs[name] or () if one not in ours[name]]
                told += [f"here `{one}` in {name}" for one in more if name == "events"]
                told += [f"there `{one}` in {name}" for one in less if name == "events"]
            else:
                told.append(f"`{name}`: {ours[name]}, there {theirs[name]}")
    return ", ".join(told) or "the last event"


def _worked(told: Any) -> str:
    return told if isinstance(told, str) and told.startswith(("refused", "not")) else "yes"


@contextmanager
def both(folder: Path) -> Iterator[tuple[str, str]]:
    """The addresses of our server and of the development server, over the same graph and tools."""
    tools = "examples.flaky:sleep"
    (folder / "ours").mkdir()
    (folder / "theirs").mkdir()
    (folder / "asking").mkdir()
    with (
        serving(folder / "ours", tools=tools) as own,
        studio(folder / "theirs", tools=tools) as dev,
    ):
        yield f"{own.url}/lg", dev.url


def compared(folder: Path) -> list[str]:
    """The table, from servers that are started for it."""
    with both(folder) as urls, ExitStack() as opened:
        sides: list[list[Session]] = []
        graphs = []
        for url in urls:
            client = get_sync_client(url=url)
            opened.callback(client.http.client.close)
            sessions = [python(client), javascripted(opened.enter_context(javascript(url)))]
            for session in sessions:
                scenario(session)
            if not sides:
                for session in sessions:
                    questions(session, {"context": {"approve": True}})
            sides.append(sessions)
            graphs.append(remote(client))
    # There only the settings say that plans are asked about.
    with studio(folder / "asking", approve="always") as dev:
        asked = python(dev.client)
        questions(asked, {})
        sides[1][0].told |= {name: told for name, told in asked.told.items() if "," in name}
    return table(sides[0], sides[1], graphs)


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as folder:
        lines = compared(Path(folder))
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text("\n".join([head + BEGIN, "", *lines, "", END + tail]))
    if unexplained := [line for line in lines if line.endswith("| ? |")]:
        raise SystemExit("\n".join(["differences without a reason:", *unexplained]))


if __name__ == "__main__":
    main()
