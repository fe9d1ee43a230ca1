"""A tool that may have acted, over HTTP and in the terminal: the run waits for a person."""

from pathlib import Path
from typing import Any

import pytest

from api.schemas import Problem
from api.views import RunAnswer
from tests.support.patience import wait_until
from tests.support.servers.commands.call import call
from tests.support.servers.documented import documented
from tests.support.servers.server_process import ServerProcess, serving

PAY = "tests.support.own_tools.effects:pay"


class Notes:
    """What the tool has written, a line for each of its effects."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.file = folder / "notes"
        self.folder = folder
        self._patch = patch
        patch.setenv("NOTES", str(self.file))
        patch.setenv("PAUSE", "0")

    def words(self) -> list[str]:
        return [line.split()[1] for line in self.file.read_text().splitlines()]

    def written(self, count: int = 1) -> None:
        """Wait until so many effects have happened."""
        wait_until(lambda: self.file.exists() and len(self.words()) >= count)

    def serving(self, **settings: str) -> Any:
        """A server whose tool blocks until `release`, far beyond its time."""
        given = {"tools": PAY, "step_timeout": "0.3"} | settings
        return serving(self.folder, **given)

    def release(self) -> None:
        """Let the calls that are under way, and all later ones, act and return."""
        (self.folder / "release").touch()


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    monkeypatch.setenv("HOLD", "1")
    return Notes(tmp_path, monkeypatch)


def in_doubt(server: ServerProcess, prompt: str = "pay milk, then what is 2 + 2") -> dict[str, Any]:
    """The record of a run that waits with a step in doubt."""
    answer = server.client.post("/runs/wait?timeout=300", json={"prompt": prompt})
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting"), answer.text
    documented(RunAnswer, answer.content)
    record: dict[str, Any] = answer.json()
    assert record["execution_log"][-1]["status"] == "in_doubt"
    assert record["actions"] == ["cancel", "resolve"]
    return record


def resolve(server: ServerProcess, record: dict[str, Any], **body: Any) -> Any:
    return server.client.post(f"/runs/{record['run_id']}/resolve", json=body)


def events(server: ServerProcess, run_id: str) -> list[tuple[str, int | None]]:
    told = server.client.get(f"/runs/{run_id}/events").json()["events"]
    assert [event["id"] for event in told] == list(range(1, len(told) + 1))
    return [(event["type"], event["step"]) for event in told]


def resolved(record: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(mark["what"], mark.get("as"), mark.get("step")) for mark in record["marks"]]


def test_what_was_done_goes_on_with_its_output(notes: Notes) -> None:
    with notes.serving() as server:
        record = in_doubt(server, "pay milk, then what is 2 + 2")
        before = events(server, record["run_id"])
        answer = resolve(server, record, **{"as": "done", "output": {"paid": True}})
        done = server.settled(record["run_id"])
        told = events(server, record["run_id"])

    assert answer.status_code == 200, answer.text
    assert (done["status"], done["result"]["output"]) == ("completed", 4)
    assert resolved(done) == [("resolved", "done", 1)]
    assert done["marks"][0]["output"] == {"paid": True}
    assert len([one for one in done["execution_log"] if one["step"] == 1]) == 1
    assert told[: len(before)] == before
    assert before[-2:] == [("step.in_doubt", 1), ("run.waiting", 1)]
    assert told[len(before) :] == [
        ("run.resolved", 1),
        ("step.started", 2),
        ("step.completed", 2),
        ("run.completed", None),
        ("end", None),
    ]


def test_what_is_left_out_or_failed_is_not_called_again(notes: Notes) -> None:
    with notes.serving() as server:
        left_out, failed, only = in_doubt(server), in_doubt(server), in_doubt(server, "pay tea")
        resolve(server, left_out, **{"as": "skip"})
        resolve(server, failed, **{"as": "fail"})
        resolve(server, only, **{"as": "skip"})
        records = [server.settled(one["run_id"]) for one in (left_out, failed, only)]
        causes = server.client.get(f"/runs/{failed['run_id']}/explain").json()["causes"]

    assert [one["status"] for one in records] == ["completed", "failed", "completed"]
    assert [len([a for a in one["execution_log"] if a["step"] == 1]) for one in records] == [1] * 3
    assert records[1]["error"]["type"] == "step_failed"
    assert [cause["kind"] for cause in causes] == ["run", "request", "attempt"]
    assert records[2]["result"]["output"] is None


def test_it_is_called_again_when_a_person_says_so_and_told_what_was_learned(notes: Notes) -> None:
    with notes.serving() as server:
        record = in_doubt(server)
        assert record["in_doubt"]["learned"] is None
        notes.release()
        seen = server.until(record["run_id"], lambda one: one["in_doubt"]["learned"])
        resolve(server, record, **{"as": "redo"})
        done = server.settled(record["run_id"])

    learned = seen["in_doubt"]["learned"]
    assert (learned["ended"], learned["detail"]) == ("returned", '"milk"')
    assert done["status"] == "completed"
    assert notes.words() == ["milk", "milk"]
    assert done["marks"][0]["learned"] == learned
    assert [(one["step"], one["attempt"]) for one in done["execution_log"]] == [
        (1, 1),
        (1, 2),
        (2, 1),
    ]


def test_a_second_decision_and_one_that_is_none_are_refused(notes: Notes) -> None:
    with notes.serving() as server:
        record = in_doubt(server)
        wrong = [
            resolve(server, record),
            resolve(server, record, **{"as": "perhaps"}),
            resolve(server, record, **{"as": "skip", "output": 1}),
            resolve(server, record, **{"as": "done", "output": "x" * 300_000}),
            resolve(server, record, **{"as": "done", "why": "so"}),
        ]
        approved = server.client.post(f"/runs/{record['run_id']}/approve")
        first = resolve(server, record, **{"as": "fail"})
        second = resolve(server, record, **{"as": "redo"})
        nobody = resolve(server, {"run_id": "1"}, **{"as": "redo"})

    assert [answer.status_code for answer in wrong] == [400, 400, 400, 413, 400]
    assert (approved.status_code, first.status_code) == (409, 200)
    assert (second.status_code, nobody.status_code) == (409, 404)
    for answer in [*wrong, second]:
        Problem.model_validate_json(answer.content, strict=True)


def test_a_step_to_which_a_later_one_refers_cannot_be_left_out(notes: Notes) -> None:
    steps = [
        {"tool": "pay", "input": {"words": "milk"}},
        {"tool": "todo_store.add", "input": {"text": "{step_1_output}"}},
    ]
    with notes.serving() as server:
        planned = server.client.post("/runs/wait", json={"prompt": "pay x", "mode": "plan"}).json()
        path = f"/runs/{planned['run_id']}"
        server.client.post(f"{path}/approve", json={"plan": {"steps": steps}})
        record = server.until(planned["run_id"], lambda one: one["in_doubt"])
        refused = resolve(server, record, **{"as": "skip"})
        resolve(server, record, **{"as": "done", "output": "bread"})
        done = server.settled(record["run_id"])

    assert (refused.status_code, refused.json()["type"]) == (
        400,
        "urn:runwright:problem:answer-unfit",
    )
    assert done["result"]["output"]["text"] == "bread"


def test_it_waits_without_a_slot_and_over_restarts(notes: Notes) -> None:
    with notes.serving(max_executing="1") as server:
        record = in_doubt(server)
        other = server.settled(server.post("what is 1 + 1"))
        server.kill()
    for _ in range(2):
        with notes.serving() as server:
            again = server.get(record["run_id"])
            server.terminate()
        assert (again["status"], again["in_doubt"]) == ("waiting", record["in_doubt"])
    with notes.serving() as server:
        resolve(server, record, **{"as": "done"})
        done = server.settled(record["run_id"])

    assert other["status"] == done["status"] == "completed"
    assert not notes.file.exists()


def test_nobody_answers_in_time(notes: Notes) -> None:
    """It fails, and may be retried, which asks again."""
    with notes.serving(approval_expires="0.2") as server:
        run_id = server.post("pay milk")
        record = server.settled(run_id)
        late = resolve(server, record, **{"as": "done"})
    with notes.serving() as server:
        server.client.post(f"/runs/{run_id}/retry")
        asked = server.until(run_id, lambda one: one["in_doubt"])

    assert (record["status"], record["error"]["type"]) == ("failed", "step_failed")
    assert resolved(record) == [("expired", "fail", 1)]
    assert late.status_code == 409
    assert asked["status"] == "waiting"
    assert not notes.file.exists()


def test_a_run_that_is_cancelled_inside_of_a_call_is_asked_about_when_it_is_retried(
    notes: Notes,
) -> None:
    with notes.serving(step_timeout="3600") as server:
        run_id = server.post("pay milk, then what is 2 + 2")
        wait_until(lambda: (notes.folder / "begun").exists())
        cancelled = server.client.post(f"/runs/{run_id}/cancel").json()
        record = server.get(run_id)
        server.client.post(f"/runs/{run_id}/retry")
        asked = server.until(run_id, lambda one: one["in_doubt"])
        told = events(server, run_id)
        resolve(server, asked, **{"as": "done", "output": 1})
        done = server.settled(run_id)
        assert events(server, run_id)[: len(told)] == told

    assert (cancelled["status"], cancelled["in_flight"]["may_have_acted"]) == ("cancelled", True)
    assert (record["status"], record["execution_log"][-1]["status"]) == ("cancelled", "in_doubt")
    assert asked["in_doubt"]["step"] == 1
    assert told[-1] == ("run.waiting", 1)
    assert resolved(done) == [
        ("cancel", None, None),
        ("retry", None, None),
        ("in_doubt", None, 1),
        ("resolved", "done", 1),
    ]
    assert (done["status"], done["result"]["output"]) == ("completed", 4)


def test_a_stop_inside_of_a_call_counts_as_a_crash(notes: Notes) -> None:
    with notes.serving(step_timeout="3600", grace="0") as server:
        run_id = server.post("pay milk")
        wait_until(lambda: (notes.folder / "begun").exists())
        server.terminate()
    with notes.serving() as server:
        record = server.until(run_id, lambda one: one["in_doubt"])

    assert record["execution_log"][-1]["error"]["type"] == "ProcessEnded"
    assert not notes.file.exists()


def test_settings_say_that_it_fails_or_is_called_again(notes: Notes) -> None:
    with notes.serving(in_doubt="fail") as server:
        failed = server.settled(server.post("pay milk"))
    with notes.serving(in_doubt="retry", backoff="0", max_attempts="2") as server:
        run_id = server.post("pay tea")
        server.until(run_id, lambda one: one["execution_log"])
        notes.release()
        again = server.settled(run_id)

    assert (failed["status"], failed["execution_log"][-1]["status"]) == ("failed", "in_doubt")
    assert [one["status"] for one in again["execution_log"]] == ["timeout", "ok"]


def test_the_terminal_tells_what_is_known_and_decides(notes: Notes) -> None:
    with notes.serving() as server:
        record = in_doubt(server)
        run_id = record["run_id"]
        asked = call("resolve", run_id, folder=notes.folder)
        wrong = call("resolve", run_id, "--as", "done", "--output", "{", folder=notes.folder)
        done = call(
            "resolve", run_id, "--as", "done", "--output", "7", "--url", server.url,
            folder=notes.folder,
        )  # fmt: skip
        twice = call("resolve", run_id, "--as", "redo", folder=notes.folder)
        settled = server.settled(run_id)

    assert asked.returncode == done.returncode == 0, (asked, done)
    assert record["in_doubt"]["known"] in asked.stdout
    assert f"runwright resolve {run_id} --as done|redo|skip|fail" in asked.stdout
    assert (wrong.returncode, twice.returncode) == (2, 2)
    assert settled["marks"][0]["output"] == 7


def test_the_start_names_tools_that_declare_nothing(notes: Notes) -> None:
    with notes.serving() as server:
        warned = server.logs("does not say")

    assert "pay" in warned
