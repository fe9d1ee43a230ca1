"""agent-chat-ui's calls, in its order, by the version of the JavaScript SDK that it pins.

Its hook sends the state that it shows as the checkpoint of each turn, and an empty input with an
answer; it asks for `values`, messages and custom events, and shows `values.messages`.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.models.llm_runs import PATIENT, SUM, models, plan_text
from tests.support.models.stream_server import StreamServer, stream_server
from tests.support.own_tools.gate_tool import GATE
from tests.support.patience import wait_until
from tests.support.servers.fleet import deployed
from tests.support.servers.lg.clients import PINNED
from tests.support.servers.lg.javascript import JavaScriptClient, javascript

WORDS = ["It ", "is ", "done."]
ASKING = plan_text(("todo_store.add", {"text": "buy milk"}))
MODES = ["values", "messages-tuple", "custom"]


@pytest.fixture(scope="module")
def provider() -> Iterator[Any]:
    """A model that answers at once."""
    with stream_server(SUM, WORDS) as started:
        started.let(len(WORDS))
        yield started


@pytest.fixture(scope="module")
def server(provider, tmp_path_factory):
    """A server that asks about plans with effects, and answers in words."""
    model = models(("openai/gpt-5-mini", provider.url))
    settings = {"models": model, "answer": "auto", "approve": "effects", "tools": GATE}
    with deployed(tmp_path_factory.mktemp("chat"), **PATIENT | settings) as started:
        yield started


class Page:
    """A page that shows a thread, and what it knows of it.

    The model gives each word of an answer once the page has the one before.
    """

    def __init__(
        self, js: JavaScriptClient, provider: StreamServer, thread: str | None = None
    ) -> None:
        self._js = js
        self._provider = provider
        self.thread = thread
        self.history: list[Any] = []
        self.tokens: list[str] = []
        if thread:
            self.load()

    def load(self) -> None:
        """Read the history, as after each run and when it is opened."""
        self.history = self._js.call("threads", "getHistory", self.thread, {"limit": 10})

    def say(self, text: str) -> list[Any]:
        """Send a message with those that are shown already."""
        content = [{"type": "text", "text": text}]
        message = {"id": str(uuid.uuid4()), "type": "human", "content": content}
        return self._submit({"messages": [message]}, streamMode=["values"])

    def answer(self, *decisions: Any) -> list[Any]:
        """Decide what is asked."""
        return self._submit({}, command={"resume": {"decisions": [*decisions]}})

    def regenerate(self) -> list[Any]:
        """Let the last answer be given again, from the state before its message."""
        shown = [one["content"] for one in self.history[0]["values"]["messages"]]
        first = next(
            one
            for one in reversed(self.history)
            if len(one["values"].get("messages", [])) == len(shown)
        )
        return self._submit(None, checkpoint=first["parent_checkpoint"])

    @property
    def interrupt(self) -> Any:
        """What the page asks its user."""
        return self.history[0]["tasks"][-1]["interrupts"][0]["value"]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """The messages at the end."""
        messages = self.history[0]["values"]["messages"]
        return [(one["type"], one["content"]) for one in messages]

    def _submit(self, given: Any, **options: Any) -> list[Any]:
        if not self.thread:
            self.thread = self._js.call("threads", "create", {})["thread_id"]
        head = options.pop("checkpoint", None) or (self.history and self.history[0]["checkpoint"])
        place = {name: one for name, one in (head or {}).items() if name != "thread_id"}
        asked = {
            "input": given,
            **({"checkpoint": place} if place else {}),
            "streamSubgraphs": True,
            "streamResumable": True,
            "onDisconnect": "continue",
            **options,
            "streamMode": MODES,
        }
        told, self.tokens = [], []
        self._provider.let(1)
        for part in self._js.live("runs", "stream", self.thread, "runwright", asked):
            told.append(part)
            if part["event"] == "messages" and part["data"][0]["type"] == "AIMessageChunk":
                self.tokens.append(part["data"][0]["content"])
                self._provider.let(1 + len("".join(self.tokens).split()))
        self._provider.let(len(WORDS))
        self.load()
        return told


DONE = ("ai", "It is done.")


def test_three_turns_with_tokens_a_question_and_a_refresh_in_between(server, provider):
    url = f"{server.url}/lg"
    assert server.client.get("/lg/info").status_code == 200
    with javascript(url, package=PINNED) as js:
        page = Page(js, provider)
        page.say("what is 40 + 2")
        assert "".join(page.tokens) == "It is done."
        assert len(page.tokens) > 1
        turn = [("human", "what is 40 + 2"), ("ai", ""), ("tool", "42"), DONE]
        assert page.shown == turn

        provider.plan = ASKING
        told = page.say("remember the milk")
        assert told[-1]["data"]["status"] == "interrupted"
    # The page is refreshed: what it knows comes from the server, by another client.
    with javascript(url, package=PINNED) as js:
        sought = {"metadata": {"graph_id": "runwright"}, "limit": 100}
        [found] = js.call("threads", "search", sought)
        assert (found["thread_id"], found["status"]) == (page.thread, "interrupted")
        page = Page(js, provider, page.thread)
        [action] = page.interrupt["action_requests"]
        assert (action["name"], action["args"]) == ("todo_store.add", {"text": "buy milk"})
        [config] = page.interrupt["review_configs"]
        assert config["action_name"] == "todo_store.add"
        assert "approve" in config["allowed_decisions"]
        told = page.answer({"type": "approve"})
        assert told[-1]["data"]["status"] == "success"
        assert "".join(page.tokens) == "It is done."

        provider.plan = SUM
        page.say("and what is 40 + 2")
        assert "".join(page.tokens) == "It is done."
        assert [kind for kind, _ in page.shown] == ["human", "ai", "tool", "ai"] * 3
        assert [text for kind, text in page.shown if kind == "human"] == [
            *("what is 40 + 2", "remember the milk", "and what is 40 + 2")
        ]
        # Each turn is a run of its own that goes on with the thread, none a fork of the one before.
        runs = js.call("runs", "list", page.thread)
    records = [server.get(one["run_id"]) for one in runs]
    assert [record["status"] for record in records] == ["completed"] * 3
    assert not any(record["forked_from"] for record in records)


def test_an_answer_is_given_again_where_the_page_asks_for_that(server, provider):
    provider.plan = SUM
    with javascript(f"{server.url}/lg", package=PINNED) as js:
        page = Page(js, provider)
        page.say("what is 40 + 2")
        first = page.shown
        told = page.regenerate()
        assert told[-1]["data"]["status"] == "success"
        assert page.shown == first


def test_a_page_stops_an_answer_while_it_is_given(server, provider):
    provider.plan = SUM
    provider.let(1)
    with javascript(f"{server.url}/lg", package=PINNED) as js:
        thread = js.call("threads", "create", {})["thread_id"]
        asked = {"input": {"messages": [{"type": "human", "content": "what is 40 + 2"}]}}
        streams = provider.streams
        run = js.call("runs", "create", thread, "runwright", asked)
        wait_until(lambda: provider.streams > streams)
        js.call("runs", "cancel", thread, run["run_id"])
        # All of its steps are done.
        assert server.settled(run["run_id"])["status"] == "completed"
        provider.let(len(WORDS))
        page = Page(js, provider, thread)
        page.say("what is 40 + 2")
        assert page.shown[-1] == DONE


def test_a_page_stops_a_run_and_goes_on_with_the_thread(server, provider):
    provider.plan = plan_text(("gate", {"name": "never"}))
    with javascript(f"{server.url}/lg", package=PINNED) as js:
        thread = js.call("threads", "create", {})["thread_id"]
        asked = {"input": {"messages": [{"type": "human", "content": "what is 40 + 2"}]}}
        run = js.call("runs", "create", thread, "runwright", asked)
        server.until(run["run_id"], lambda record: record["plan"])
        js.call("runs", "cancel", thread, run["run_id"])
        assert server.settled(run["run_id"])["status"] == "cancelled"
        provider.plan = SUM
        page = Page(js, provider, thread)
        page.say("what is 40 + 2")
        assert page.shown[-1] == DONE
