"""Call by call, client by client: what `/lg` answers beside LangGraph's development server.

`python -m tests.support.servers.lg.conformance` starts both and writes the table of
`docs/langgraph.md`. A difference that has no reason here is an error.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import UnprocessableEntityError

from tests.support.checkout import ROOT
from tests.support.servers.lg.comparing import differences, grouped, settled, told
from tests.support.servers.lg.javascript import JavaScriptClient, javascript
from tests.support.servers.server_process import serving
from tests.support.servers.studio_server import studio

PAGE = ROOT / "docs" / "langgraph.md"
BEGIN, END = "<!-- conformance: written by a script -->", "<!-- end of conformance -->"

PROMPT = {"prompt": "calculate 6 * 7"}
ASSISTANT = "runwright"

#: Why a field is not as with the development server: the first that fits a call and its field.
REASONS: Sequence[tuple[str, str]] = (
    (r"/assistants/\{id\}.*: the answer", "the graph's name goes wherever an id does"),
    (r": \[\]\.description", "it says what it is"),
    (r"/graph: \+ nodes\[\]\.data\.id", "a node's data names its class by its path"),
    (r"(messages|values.*\.messages)$", "the thread is told as messages, plan and outputs too"),
    (r": \+ end$", "`end` closes a stream, so that a cut is told from it"),
    (r": \+ (\[\]\.)?cancel_reason$", "why it was cancelled is told"),
    (r"/threads.*: \+ (error|interrupts)$", "what it asks, and why it failed, from the beginning"),
    (r": - (\[\]\.)?kwargs\.", "of a request what the run is given is kept: its input"),
    (r": - (\[\]\.)?langsmith_session_name$", "no traces go to LangSmith"),
    (r"metadata\.graph_id$", "each run says what it is of"),
    (
        r"metadata\.(created_by|who|more|langgraph_|parents|run_attempt|user_id|step|counters|source)",
        "metadata is that of the run, and steps are counted in each; a thread's is the thread's",
    ),
    (r"config\.configurable$", "what a run was given is with the run"),
    (r"(posted_by|custom\[\]\.data\.by)$", "who posted a run is told"),
    (r"run\.asked$", "the request is stored with the run, not in its state"),
    (r"conversation|thread_id$", "a run has what went before in its thread from the server"),
    (
        r"(updates\.plan|updates\.execute_step|updates\.finalize|tasks\[\]\.result)",
        "an update has what has changed: the state is whole from acceptance on",
    ),
    (r"values\[\]\.", "the state is whole from acceptance on"),
    (r"/state: .*(run\.|log)|after an edit: ", "what was executed stays: an edit is another run"),
    (r"wait, failed: ", "a run that failed is an error; there its graph has ended as it should"),
    (r"/stream: the answer|\{run\}/stream: ", "a run is told again for as long as it is kept"),
    (r"checkpoint_ns$", "a checkpoint is named as everywhere else"),
    (r"cancel: the answer", "answered without a body, as the SDKs expect"),
    (r"response_schema", "what fits as an answer is told"),
    (r"(action_requests|review_configs)", "chat pages show what is to be reviewed"),
    (r", answered: ", "the same run goes on, with its decision in the log"),
    (r"history: .*(parent|length|next|tasks|values)", "a run's own input is no checkpoint"),
)


@dataclass
class Session:
    """One client of one server; `told` is what it was answered, by the name of the call.

    What it streams comes as parts, each of them when it is told.
    """

    call: Callable[[str, str, tuple[Any, ...], Mapping[str, Any]], Any]
    told: dict[str, Any] = field(default_factory=dict)

    def ask(self, name: str, call: str, *given: Any, **options: Any) -> Any:
        """Make a call, and note what came of it."""
        area, _, method = call.partition(".")
        try:
            answer = self.call(area, method, given, options)
            is_stream = isinstance(answer, Iterator)
            answer = [*answer] if is_stream else answer
        except Exception as error:
            self.told[name] = f"refused: {type(error).__name__}"
            return None
        self.told[name] = settled(told(answer) if is_stream else answer)
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
    first: Mapping[str, Any] = {"input": PROMPT, "durability": "sync"}
    ask("POST /threads/{id}/runs/wait", "runs.wait", thread, ASSISTANT, **first)
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
    selected: Mapping[str, Any] = {"metadata": {"who": "me"}, "select": ["metadata", "status"]}
    ask("POST /threads/search, select", "threads.search", **selected)
    state = ask("GET /threads/{id}/state", "threads.get_state", thread)
    at = state["checkpoint"]["checkpoint_id"]
    ask("GET /threads/{id}/state/{checkpoint}", "threads.get_state", thread, checkpoint_id=at)
    named = {"checkpoint": state["checkpoint"]}
    ask("POST /threads/{id}/state/checkpoint", "threads.get_state", thread, **named)
    history = ask("POST /threads/{id}/history", "threads.get_history", thread, limit=4)
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
    ask("POST /runs", "runs.create", None, ASSISTANT, input=PROMPT)
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
    thread: str = session.ask("POST /threads, asking", "threads.create")["thread_id"]
    stream = "POST /threads/{id}/runs/stream"
    both: Mapping[str, Any] = {"input": PROMPT, "stream_mode": "updates"}
    session.ask(f"{stream}, asking", "runs.stream", thread, ASSISTANT, **both, **given)
    session.ask("GET /threads/{id}/state, asking", "threads.get_state", thread)
    resumed = {"command": {"resume": True}, "strict_resume": True}
    answer: Mapping[str, Any] = {**resumed, "stream_mode": "updates"}
    session.ask(f"{stream}, answered", "runs.stream", thread, ASSISTANT, **answer)


def part_of(part: Any) -> dict[str, Any]:
    """A part of a stream as JavaScript's client has it."""
    return {"id": part.id, "event": part.event, "data": part.data}


def python(client: SyncLangGraphClient) -> Session:
    """The official Python client."""

    def call(area: str, method: str, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
        answer = getattr(getattr(client, area), method)(*given, **options)
        return (part_of(one) for one in answer) if isinstance(answer, Iterator) else answer

    return Session(call)


#: How JavaScript's client takes what Python's takes by name.
_POSITIONS = {"runs.cancel": ("wait",), "threads.get_state": ("checkpoint_id", "checkpoint")}


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
        return client.live(area, camel(method), *arguments)

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


#: All modes that clients can ask for.
MODES = (
    *("values", "updates", "messages-tuple", "messages", "custom", "lifecycle", "tasks"),
    *("debug", "checkpoints", "tools", "events"),
)


def streamed(client: SyncLangGraphClient) -> dict[str, str]:
    """By mode, whether a run is streamed in it, and whether it is told again to who comes later."""
    found = {}
    for mode in MODES:
        asked: Any = {"stream_mode": mode}
        thread = client.threads.create()["thread_id"]
        try:
            parts = [*client.runs.stream(thread, ASSISTANT, input=PROMPT, **asked)]
        except UnprocessableEntityError:
            found[mode] = "refused with a 422"
            continue
        run_id = parts[0].data["run_id"]
        again = [*client.runs.join_stream(thread, run_id, last_event_id="-1", **asked)]
        if not {part.event for part in parts} - {"metadata", "end"}:
            found[mode] = "nothing is told"
        else:
            found[mode] = "live, and told again" if again == parts else "live"
    return found


def modes_table(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The lines about the modes."""
    head = ["", "| mode of a stream | here | development server |", "| --- | --- | --- |"]
    return [*head, *(f"| `{mode}` | {ours[mode]} | {theirs[mode]} |" for mode in MODES)]


def table(ours: list[Session], theirs: list[Session], graphs: list[dict[str, str]]) -> list[str]:
    """The lines about the calls."""
    lines = [
        "`+` is here only, `-` there only; ids, moments and durations are not compared.",
        "",
        "| call | Python | JavaScript | development server | what differs, and why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, answer in ours[0].told.items():
        javascript = ours[1].told.get(name, "not made")
        same = javascript == answer or isinstance(javascript, str)
        own = f"{_worked(answer)} | {_worked(javascript) if same else 'another answer'}"
        official = theirs[0].told.get(name, "not made")
        why = "; ".join(explained(name, differences(answer, official)))
        lines.append(f"| `{name}` | {own} | {_worked(official)} | {why} |")
    lines += ["", "| `RemoteGraph` | here | development server |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {told} | {graphs[1][name]} |" for name, told in graphs[0].items()]
    return lines


def explained(call: str, found: Iterable[str]) -> Iterator[str]:
    """The differences of a call, those with one reason together; one that is missing is `?`."""
    by_reason: dict[str, list[str]] = {}
    for path in found:
        known = (why for pattern, why in REASONS if re.search(pattern, f"{call}: {path}"))
        by_reason.setdefault(next(known, "?"), []).append(path)
    for reason, paths in by_reason.items():
        yield f"{grouped(paths)}: {reason}"


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
        serving(folder / "ours", tools=tools, step_timeout="30") as own,
        studio(folder / "theirs", tools=tools) as dev,
    ):
        yield f"{own.url}/lg", dev.url


def compared(folder: Path) -> list[str]:
    """The table, from servers that are started for it."""
    with both(folder) as urls, ExitStack() as opened:
        sides: list[list[Session]] = []
        graphs, modes = [], []
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
            modes.append(streamed(client))
    # There only the settings say that plans are asked about.
    with studio(folder / "asking", approve="always") as dev:
        asked = python(dev.client)
        questions(asked, {})
        sides[1][0].told |= {name: told for name, told in asked.told.items() if "," in name}
    return [*table(sides[0], sides[1], graphs), *modes_table(*modes)]


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as folder:
        lines = compared(Path(folder))
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text("\n".join([head + BEGIN, "", *lines, "", END + tail]))
    if unexplained := [line for line in lines if ": ?" in line]:
        raise SystemExit("\n".join(["differences without a reason:", *unexplained]))


if __name__ == "__main__":
    main()
