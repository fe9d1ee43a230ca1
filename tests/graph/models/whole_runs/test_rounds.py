"""Whole runs of several rounds: a real server beside aimock, for each provider's format."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.models.llm_house import House, a_provider, llm_house
from tests.support.models.llm_runs import answer, calls, models, serving_models
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import ServerProcess, runwright

OPENAI = "openai/gpt-5-mini"
TOOLS = "tests.support.own_tools.uncertain:send,tests.support.own_tools.uncertain:refuse"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with llm_house(tmp_path_factory.mktemp("house"), tools=TOOLS, shortlist="2") as started:
        yield started


def steps_text(*steps: tuple[str, dict[str, Any]], then: str, says: str | None = None) -> str:
    """A model's answer: steps, what is to follow them, and words."""
    given = [{"reasoning": "asked", "tool": tool, "input": value} for tool, value in steps]
    return json.dumps({"steps": given, "then": then, "answer": says})


def round_text(*expressions: str, then: str = "done") -> str:
    """A model's answer: calculations, and what is to follow them."""
    steps = [("calculator", {"expression": expression}) for expression in expressions]
    return steps_text(*steps, then=then)


def looks(*expressions: str) -> dict[str, Any]:
    return answer(round_text(*expressions, then="look"))


def ends(*expressions: str) -> dict[str, Any]:
    return answer(round_text(*expressions))


GIVES_UP = answer(steps_text(then="refuse", says="there is no way"))


class Talk:
    """A run on the server of a model, and what is asked of it."""

    def __init__(self, house: House, name: str, *script: dict[str, Any], **body: Any) -> None:
        house.mock.script(*script)
        self._mock, self.server = house.mock, house.servers[name]
        answered = self.server.client.post("/runs", json={"prompt": "what is 40 + 2", **body})
        assert answered.status_code == 201, answered.text
        self.run_id = answered.json()["run_id"]
        self.record = resting(self.server, self.run_id)

    @property
    def requests(self) -> int:
        """How often the model was asked."""
        return len(self._mock.requests)

    def ask(self, what: str, **body: Any) -> dict[str, Any]:
        """The record as it rests after this was asked of the run."""
        answered = self.server.client.post(f"/runs/{self.run_id}/{what}", json=body)
        assert answered.status_code == 200, answered.text
        self.record = resting(self.server, self.run_id)
        return self.record

    def command(self, what: str, *arguments: str) -> tuple[int, list[str]]:
        """How a command about the run ended, in a process of its own, and what it told."""
        done = runwright(what, self.run_id, *arguments, folder=self.server.folder)
        self.record = resting(self.server, self.run_id)
        return done.returncode, (done.stdout + done.stderr).splitlines()

    @property
    def rounds(self) -> list[tuple[str, str | None]]:
        """Why each round was planned, and what follows it."""
        return [(entry["why"], entry["then"]) for entry in self.record["plan"]["rounds"]]

    @property
    def attempts(self) -> list[tuple[int, str]]:
        """The step of each attempt, and how it ended."""
        return [(entry["step"], entry["status"]) for entry in self.record["execution_log"]]

    def told(self) -> list[str]:
        """The types of its events."""
        page = self.server.client.get(f"/runs/{self.run_id}/events?limit=1000").json()
        return [event["type"] for event in page["events"]]


def resting(server: ServerProcess, run_id: str) -> dict[str, Any]:
    answered = server.client.get(f"/runs/{run_id}/wait?timeout=300")
    assert answered.status_code in (200, 202), answered.text
    return dict(answered.json())


@a_provider
def test_a_model_looks_and_plans_on(house: House, name: str) -> None:
    """The second call has the first round and its output, with the same schema."""
    outcome = house.run(
        name, answer(round_text("40 + 2", then="look")), answer(round_text("{step_1_output} * 2"))
    )

    assert outcome.record["status"] == "completed", outcome.record["error"]
    assert outcome.record["result"]["output"] == 84
    assert [entry["why"] for entry in outcome.record["plan"]["rounds"]] == ["first", "look"]
    assert (outcome.requests, outcome.record["usage"]["calls"]) == (2, 2)
    last = house.mock.requests[-1]["body"]["messages"]
    assert "<output " in json.dumps(last)


@a_provider
def test_a_step_that_failed_for_good_is_mended(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 / 0")), answer(round_text("6 * 7")))

    assert outcome.record["status"] == "completed", outcome.record["error"]
    assert outcome.record["result"]["output"] == 42
    assert calls(outcome.record) == [(name, "planned", None)] * 2


@a_provider
def test_a_mend_that_claims_success_without_steps_is_a_failure(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 / 0")), answer(round_text()))

    assert (outcome.record["status"], outcome.record["error"]["type"]) == ("failed", "step_failed")
    assert outcome.requests == 2


@a_provider
def test_a_model_that_looks_for_ever_is_ended(house: House, name: str) -> None:
    outcome = house.run(name, answer(round_text("1 + 1", then="look")))

    assert outcome.record["status"] == "failed"
    assert outcome.record["error"]["reason"] == "rounds"
    assert outcome.requests == len(outcome.record["plan"]["steps"]) == 5
    assert outcome.record["result"]["output"] == 2


@a_provider
def test_five_rounds_are_as_many_as_there_may_be(house: House, name: str) -> None:
    sums = [looks(f"{{step_{number}_output}} + 1") for number in range(1, 4)]
    talk = Talk(house, name, looks("1"), *sums, ends("{step_4_output} * 10"))

    assert talk.record["status"] == "completed", talk.record["error"]
    assert talk.record["result"]["output"] == 40
    assert (talk.requests, talk.record["usage"]["calls"]) == (5, 5)
    assert talk.rounds == [("first", "look"), *[("look", "look")] * 3, ("look", "done")]
    last = json.dumps(house.mock.requests[-1]["body"]["messages"])
    assert "last round" in last
    assert talk.told().count("plan.made") == 5


@a_provider
def test_a_budget_that_is_over_ends_a_later_round(house: House, name: str) -> None:
    """Beyond the second call in the third round; Ollama's tokens are not known after the first."""
    much = {"prompt_tokens": 10**6, "input_tokens": 10**6, "completion_tokens": 1}
    much |= {"output_tokens": 1, "total_tokens": 10**6 + 1}
    second = answer(round_text("2", then="look"), usage=much)
    talk = Talk(house, name, looks("1"), second, ends("3"), budget={"tokens": 500_000})

    known = not name.startswith("ollama")
    assert (talk.record["status"], talk.record["error"]["type"]) == ("failed", "incomplete")
    assert talk.record["error"]["reason"] == "budget"
    assert talk.requests == (2 if known else 1)
    assert len(talk.rounds) == talk.requests + 1
    assert talk.record["result"]["output"] == talk.requests


@a_provider
def test_a_mend_that_gives_up_leaves_the_failure(house: House, name: str) -> None:
    talk = Talk(house, name, ends("1 / 0", "2"), GIVES_UP)

    assert talk.record["error"]["type"] == "step_failed"
    assert "there is no way" in talk.record["error"]["message"]
    assert talk.rounds == [("first", "done"), ("mend", "refuse")]
    assert talk.requests == 2


@a_provider
def test_a_model_refuses_in_the_second_round(house: House, name: str) -> None:
    talk = Talk(house, name, looks("40 + 2"), GIVES_UP)

    assert talk.record["error"]["reason"] == "gave_up"
    assert talk.record["result"]["output"] == 42
    assert talk.requests == 2


@a_provider
def test_an_answer_of_the_second_round_is_repaired(house: House, name: str) -> None:
    script = [looks("40 + 2"), ends("{step_7_output}"), ends("{step_1_output} + 1")]
    talk = Talk(house, name, *script)

    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 43)
    outcomes = [entry["outcome"] for entry in talk.record["planning_log"]]
    assert outcomes == ["planned", "rejected", "planned"]
    assert [entry["round"] for entry in talk.record["planning_log"]] == [1, 2, 2]


@a_provider
def test_a_round_that_was_rejected_is_asked_about_again(house: House, name: str) -> None:
    talk = Talk(house, name, looks("1"), ends("2"), mode="plan")
    assert talk.record["status"] == "waiting"
    assert talk.ask("approve")["status"] == "waiting"
    assert talk.attempts == [(1, "ok")]
    assert talk.ask("reject")["status"] == "cancelled"
    assert talk.ask("retry")["status"] == "waiting"
    assert talk.attempts == [(1, "ok")]
    assert talk.ask("approve")["status"] == "completed"
    assert talk.attempts == [(1, "ok"), (2, "ok")]
    assert (talk.requests, talk.told().count("run.waiting")) == (2, 3)


@a_provider
def test_the_second_round_is_edited(house: House, name: str) -> None:
    """And the third one is told what was executed instead."""
    talk = Talk(house, name, looks("1"), looks("2"), ends("{step_2_output}"), mode="plan")
    talk.ask("approve")
    edited = {"steps": [{"tool": "calculator", "input": {"expression": "7"}}], "then": "look"}
    assert talk.ask("approve", plan=edited)["status"] == "waiting"
    assert talk.ask("approve")["result"]["output"] == 7
    assert talk.rounds == [("first", "look"), ("look", "look"), ("look", "done")]
    assert talk.record["plan"]["rounds"][1]["proposed"][0]["input"] == {"expression": "2"}
    last = json.dumps(house.mock.requests[-1]["body"]["messages"])
    assert "A person has edited this plan" in last


@a_provider
def test_a_fork_from_the_middle_of_the_second_round(house: House, name: str) -> None:
    """It goes on with the rest of that round, and asks for the third as the run has."""
    talk = Talk(house, name, looks("1"), looks("2", "3"), ends("{step_3_output} * 2"))
    assert talk.record["result"]["output"] == 6
    page = talk.server.client.get(f"/runs/{talk.run_id}/history?limit=100").json()
    middle = next(one for one in page["checkpoints"] if (one["round"], one["cursor"]) == (2, 2))
    house.mock.script(ends("{step_3_output} * 3"))
    body = {"checkpoint_id": middle["checkpoint_id"]}
    forked = talk.server.client.post(f"/runs/{talk.run_id}/fork", json=body)
    assert forked.status_code == 201, forked.text
    talk.run_id = forked.json()["run_id"]
    talk.record = resting(talk.server, talk.run_id)

    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 9)
    assert talk.attempts == [(1, "ok"), (2, "ok"), (3, "ok"), (4, "ok")]
    assert talk.rounds == [("first", "look"), ("look", "look"), ("look", "done")]
    assert talk.requests == 1


@a_provider
def test_a_retry_from_a_step_of_the_first_round_asks_no_model(house: House, name: str) -> None:
    refuses = answer(steps_text(("refuse", {"what": "it"}), then="done"))
    talk = Talk(house, name, looks("1"), refuses, mend=0)
    assert talk.record["error"]["step"] == 2
    talk.ask("retry", from_step=1)

    assert talk.requests == 2
    assert talk.attempts == [(1, "ok"), (2, "error"), (1, "ok"), (2, "error")]
    assert talk.rounds == [("first", "look"), ("look", "done")]


@a_provider
def test_a_model_plans_anew_what_is_left(house: House, name: str) -> None:
    refuses = answer(steps_text(("refuse", {"what": "it"}), then="done"))
    talk = Talk(house, name, looks("1"), refuses, ends("{step_1_output} + 1"), mend=0)
    talk.ask("retry", replan=True)

    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 2)
    assert talk.rounds == [("first", "look"), ("look", "look"), ("replan", "done")]
    assert talk.attempts == [(1, "ok"), (2, "error"), (3, "ok")]
    assert "A person wants another plan" in json.dumps(house.mock.requests[-1]["body"]["messages"])


@a_provider
def test_a_step_of_the_second_round_is_in_doubt(house: House, name: str) -> None:
    sends = answer(steps_text(("send", {"to": "ann"}), then="look"))
    talk = Talk(house, name, looks("1"), sends, ends("{step_2_output} + 1"))
    assert talk.record["status"] == "waiting"
    assert talk.record["in_doubt"]["step"] == 2
    assert talk.requests == 2  # nobody mends it
    talk.ask("resolve", **{"as": "done", "output": 41})

    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 42)
    assert talk.attempts == [(1, "ok"), (2, "in_doubt"), (3, "ok")]
    assert talk.rounds == [("first", "look"), ("look", "look"), ("look", "done")]


@a_provider
def test_a_tool_beyond_the_shortlist_is_asked_for_in_a_look(house: House, name: str) -> None:
    asks = answer(steps_text(("calculator", {"expression": "1"}), then="look", says="refuse"))
    uses = answer(steps_text(("refuse", {"what": "it"}), then="done"))
    talk = Talk(house, name, asks, uses, mend=0)

    told = [str(entry["shortlist"]) for entry in talk.record["planning_log"]]
    assert ["refuse" in names for names in told] == [False, True]
    first, second = (json.dumps(one["body"]["messages"]) for one in house.mock.requests)
    assert ["- refuse(what: string)" in text for text in (first, second)] == [False, True]
    assert talk.attempts == [(1, "ok"), (2, "error")]


@a_provider
def test_the_terminal_lets_a_model_plan_anew(house: House, name: str) -> None:
    """Where the run gave up; and finds it by its rounds."""
    talk = Talk(house, name, looks("40 + 2"), GIVES_UP, ends("{step_1_output} * 2"))
    assert talk.record["error"]["type"] == "incomplete"
    code, lines = talk.command("retry", "--replan")

    assert (code, lines[0], lines[-1]) == (0, f"run {talk.run_id}", "84"), lines
    sought = ("--min-rounds", "3", "--max-rounds", "3", "--limit", "1")
    assert runwright("list", *sought, folder=talk.server.folder).stdout.startswith(talk.run_id)
    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 84)
    assert talk.rounds == [("first", "look"), ("look", "refuse"), ("replan", "done")]
    assert talk.attempts == [(1, "ok"), (2, "ok")]
    assert talk.requests == 3


@a_provider
def test_the_terminal_waits_where_the_new_plan_does(house: House, name: str) -> None:
    """For a person, as the step that is dropped may have changed something."""
    deletes = answer(steps_text(("todo_store.delete", {"todo": "none such"}), then="done"))
    talk = Talk(house, name, looks("1"), deletes, ends("{step_1_output} + 1"), mend=0)
    assert talk.record["error"]["type"] == "step_failed"
    with running("retry", talk.run_id, "--replan", folder=talk.server.folder) as retry:
        retry.until("runwright approve")
        assert talk.command("approve")[0] == 0
        assert (retry.ended(), retry.lines[-1]) == (0, "2"), retry.output

    assert talk.record["status"] == "completed", talk.record["error"]
    assert talk.rounds == [("first", "look"), ("look", "look"), ("replan", "done")]
    assert talk.attempts == [(1, "ok"), (2, "error"), (3, "ok")]
    assert talk.requests == 3


def test_the_terminal_lets_a_model_plan_anew_without_a_server(house: House, tmp_path: Path) -> None:
    house.mock.script(looks("40 + 2"), GIVES_UP, ends("{step_1_output} * 2"))
    settings = {"models": models((OPENAI, house.mock.base_of(OPENAI))), "model_timeout": "600"}
    failed = runwright("run", "go on", "--json", folder=tmp_path, **settings)
    assert failed.returncode == 1, failed
    run_id = json.loads(failed.stdout)["run_id"]
    done = runwright("retry", run_id, "--replan", "--json", folder=tmp_path, **settings)

    assert (done.returncode, done.stderr) == (0, ""), done
    record = json.loads(done.stdout)
    assert (record["status"], record["result"]["output"]) == ("completed", 84)
    assert [one["why"] for one in record["plan"]["rounds"]] == ["first", "look", "replan"]
    assert [entry["step"] for entry in record["execution_log"]] == [1, 2]


@a_provider
def test_a_second_round_that_waits_for_approval_waits_after_a_kill(
    house: House, name: str, tmp_path: Path
) -> None:
    """And is executed once it is approved; nothing is done or asked again."""
    settings = {"models": models((name, house.mock.base_of(name)))}
    with serving_models(tmp_path, **settings) as server:
        script = [looks("40 + 2"), ends("{step_1_output} * 2")]
        talk = Talk(House(house.mock, house.backup, {name: server}), name, *script, mode="plan")
        before = talk.ask("approve")
        server.kill()
    with serving_models(tmp_path, **settings) as talk.server:
        after = talk.server.get(talk.run_id)
        talk.ask("approve")

    assert (before["status"], before["approval"]["tools"][0]["steps"]) == ("waiting", [2])
    assert after | {"server_time": before["server_time"]} == before
    assert (talk.record["status"], talk.record["result"]["output"]) == ("completed", 84)
    assert talk.rounds == [("first", "look"), ("look", "done")]
    assert talk.attempts == [(1, "ok"), (2, "ok")]
    assert talk.record["execution_log"][:1] == before["execution_log"]
    assert (talk.requests, talk.record["usage"]["calls"]) == (2, 2)
