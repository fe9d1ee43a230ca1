"""A tool that writes a line, in servers that are killed around and inside its calls.

`EFFECT_KILLS` says how often; `make soak-effects` has 200.
"""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest

from tests.support.databases.postgres import rows_of
from tests.support.patience import patience, wait_until
from tests.support.runs.orphans import orphans
from tests.support.servers.server_process import ServerProcess, serving

TOOLS = "tests.support.own_tools.effects:pay,tests.support.own_tools.effects:send"

#: Seconds that a call takes before it acts, and after that.
PAUSE = 0.05

#: What a person says of steps in doubt, in turns; nobody lets one be called again.
SAID = ("done", "skip", "fail")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("PAUSE", str(PAUSE))
    monkeypatch.delenv("HOLD", raising=False)
    (tmp_path / "notes").touch()
    (tmp_path / "begun").touch()
    return tmp_path


def rests(server: ServerProcess, run_id: str) -> dict[str, Any]:
    """The record of a run that is settled, or waits with a step in doubt."""
    return server.until(
        run_id, lambda one: one["in_doubt"] or one["status"] in ("completed", "failed")
    )


def lines(path: Path) -> list[str]:
    """The words of the lines that were written."""
    return [line.split()[-1] for line in path.read_text().splitlines()]


def stored(folder: Path, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys and values of the store below a prefix."""
    found = f"SELECT prefix, key, value FROM store WHERE prefix >= '{prefix}.'"
    for place, key, value in rows_of(folder, found):
        if place.startswith(f"{prefix}."):
            yield key, json.loads(value)


def post(server: ServerProcess, accepted: dict[str, str], words: str) -> None:
    """Post three runs, each with words of its own."""
    for prompt in (f"pay a{words}", f"send b{words}", f"pay c{words}, then pay d{words}"):
        with suppress(httpx.TransportError):  # it may be killed before it answers
            accepted[server.post(prompt)] = prompt


@pytest.mark.slow
def test_killed_around_and_inside_of_calls_with_effects(folder: Path, kept_on: str) -> None:
    """Each effect happens at most once, no run is lost, and only begun calls are in doubt."""
    kills = int(os.environ.get("EFFECT_KILLS", "20"))
    accepted: dict[str, str] = {}
    doubted: set[tuple[str, int]] = set()
    random_moment = random.Random(20261128)
    for number in range(kills):
        with serving(folder, tools=TOOLS) as server:
            post(server, accepted, str(number))
            time.sleep(random_moment.uniform(0.0, 5 * PAUSE))
            server.kill()
    with serving(folder, tools=TOOLS) as server:
        for place, run_id in enumerate(accepted):
            while asked := (record := rests(server, run_id))["in_doubt"]:
                doubted.add((run_id, asked["step"]))
                body = {"as": SAID[place % len(SAID)]}
                assert server.client.post(f"/runs/{run_id}/resolve", json=body).status_code == 200
                wait_until(lambda run=run_id, was=asked: server.get(run)["in_doubt"] != was)
            assert accepted[run_id][:4] == "pay " or record["status"] == "completed", record
    begun = {key for key, _ in stored(folder, "begun")}
    written, sent = (
        Counter(lines(folder / "notes")),
        [one["words"] for _, one in stored(folder, "sent")],
    )

    assert max(written.values()) == 1
    if kept_on == "sqlite":
        assert orphans(folder / "runs.db") == []
    assert {accepted[run_id][:4] for run_id, _ in doubted} <= {"pay "}
    # Everything that was sent is there once, and nobody was asked.
    assert sorted(sent) == sorted({prompt[5:] for prompt in accepted.values() if "send" in prompt})
    keys = {str(uuid5(UUID(run_id), f"0:{step}")) for run_id, step in doubted}
    assert keys <= begun
    print(f"{kills} kills, {len(accepted)} runs, {len(doubted)} in doubt, {len(written)} lines")  # noqa: T201


@pytest.mark.parametrize(
    ("point", "in_doubt", "written"),
    [
        ("before nodes.execute_step:note_begun", False, 1),
        ("after nodes.execute_step:note_begun", True, 0),
        ("before nodes.execute_step:note_returned", True, 1),
        ("after nodes.execute_step:note_returned", False, 1),
    ],
)
def test_only_a_call_that_was_begun_and_did_not_tell_its_end_is_in_doubt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, point: str, in_doubt: bool, written: int
) -> None:
    """Killed on either side of the call's receipt, and of what it returned."""
    armed = folder / "armed"
    monkeypatch.setenv("ARMED", str(armed))
    monkeypatch.setenv("DIE_AT", point)
    mortal = f"{TOOLS},tests.support.own_tools.mortal:stand_by"
    armed.touch()
    with serving(folder, tools=mortal) as server:
        run_id = server.post("pay milk")
        assert server.process.wait(patience()) == -9
    with serving(folder, tools=TOOLS) as server:
        record = rests(server, run_id)

    assert bool(record["in_doubt"]) is in_doubt
    assert record["status"] == ("waiting" if in_doubt else "completed")
    assert lines(folder / "notes") == ["milk"] * written
