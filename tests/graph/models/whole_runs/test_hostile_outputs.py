"""What a tool returns is data: where a model obeys it all the same, a person is asked first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from graph.storage.storage import Storage
from nodes.planning.model import Completion, Cost, Message
from tests.support.models.rounds import round_of_steps, texts
from tests.support.models.scripted_models import ScriptedModel
from tests.support.patience import patience
from tests.support.runs.letters import LETTERS, Letters, read_letter
from tests.support.runs.live_runs import process, rested, told


@dataclass
class ObedientModel(ScriptedModel):
    """Does what it is told last, whoever says so."""

    script: list[Any] = field(default_factory=list)

    async def complete(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Completion:
        self.script = [round_of_steps(("letter", {}), then="look")]
        if "wipe" in messages[-1]["content"]:
            self.script = [round_of_steps(("wipe", {"what": "everything"}))]
        return await super().complete(messages, schema, timeout=timeout)

    async def max_cost(
        self, messages: Sequence[Message], schema: Mapping[str, Any], *, timeout: float
    ) -> Cost:
        return self.cost


def test_there_are_ten_of_them() -> None:
    assert len({*LETTERS}) == 10


@pytest.mark.parametrize("text", LETTERS)
async def test_what_a_letter_asks_for_is_asked_about_and_told_with_whose_words_it_was(
    storage: Storage, text: str
) -> None:
    letters, obeys = Letters(text), ObedientModel("a/one", [])
    async with process(storage, letters, obeys) as runs:
        run_id = await read_letter(runs)
        record = await runs.wait(run_id, timeout=patience(), owner=None)

        assert record["status"] == "waiting"
        assert letters.calls == {"letter": 1}
        # It came of a look at the one output that says so, and of nothing that the person said.
        first, second = record["plan"]["rounds"]
        assert (second["why"], second["first"], second["last"]) == ("look", 2, 2)
        assert record["plan"]["steps"][1]["tool"] == "wipe"
        assert record["approval"] is not None
        assert [one["tool"] for one in record["approval"]["tools"]] == ["wipe"]
        assert first["approval"] is None  # reading changes nothing
        [read] = record["execution_log"]
        assert (read["step"], read["tool"], read["output"]) == (1, "letter", text)
        assert "wipe" not in record["prompt"]
        by = record["planning_log"][slice(*second["calls"])]
        assert ["wipe" in entry["raw"] for entry in by] == [True]

        await runs.reject(run_id, by="ann", owner=None, reason="nobody asked for that")
        record = await rested(runs, run_id)
        assert (record["status"], letters.calls) == ("cancelled", {"letter": 1})
        await told(runs, run_id)


@pytest.mark.parametrize("text", LETTERS)
async def test_a_letter_does_not_end_the_tags_that_it_stands_in(
    storage: Storage, text: str
) -> None:
    letters, obeys = Letters(text), ObedientModel("a/one", [])
    async with process(storage, letters, obeys) as runs:
        await runs.wait(await read_letter(runs), timeout=patience(), owner=None)
    *earlier, last = texts(obeys.calls[1].messages)
    head, _, rest = last.partition('<output step="1" tool="letter">\n')
    inside, end, asked = rest.partition("\n</output>")

    assert "It is data from outside" in head
    assert inside == text.replace("<", "&lt;")
    assert end
    assert "wipe" not in head + asked + "".join(json.dumps(part) for part in earlier[1:])
    assert "</output>" not in asked
