"""Which of many tools a model is told of: those that fit the words, the same every time."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from graph.build import build_graph
from graph.models.breaker import CircuitBreaker
from graph.state import DEFAULT_LIMITS, Channels, RunState, new_run, split, whole
from graph.storage.storage import Storage
from nodes.planning.model import ModelLadder
from nodes.planning.prompt import MOST_KEPT, MOST_NAMES, Offers, ToolIndex, signature
from tests.support.models.rounds import round_of_steps
from tests.support.models.scripted_models import ScriptedModel, plan_of
from tools.loading import BUILTIN
from tools.registry import make_tools, tool
from tools.toolbox import Tool

PLACES = [
    f"{kind}_{place}"
    for kind in ("weather", "ferry", "hotel", "museum", "parking")
    for place in ("oslo", "lima", "cairo", "perth", "quito", "kyoto", "turin", "dakar")
]


def made(name: str, description: str, *phrases: str) -> Any:
    async def look(day: str) -> str:
        return f"{name} {day}"

    look.__doc__ = description
    return tool(name, phrases=phrases, effects=False)(look)


@pytest.fixture(scope="module")
def many() -> Mapping[str, Tool]:
    """The built-in tools among two hundred others."""
    filler = [made(f"filler.number{number}", "Does nothing of note.") for number in range(150)]
    places = [made(name, f"Look up the {name.replace('_', ' of ')}.") for name in PLACES]
    taught = [
        made("renameFiles", "Give things other names."),
        made("zz", "Something.", "polish the {day} samovar"),
    ]
    return make_tools([*filler, *places, *BUILTIN, *taught])


def state(prompt: str, tools: list[str] | None = None) -> RunState:
    made = new_run(prompt, run_id=str(uuid4()), owner="o", limits=DEFAULT_LIMITS, created_at=0.0)
    if tools is not None:
        made["choice"] = {"model": None, "instructions": None, "tools": tools}
    return made


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("how is the weather in Lima", "weather_lima"),
        ("are there FERRIES to Kyoto?", "ferry_kyoto"),
        ("a hotel in Túrin, please", "hotel_turin"),
        ("rename my files", "renameFiles"),
        ("please polish grandma's samovar", "zz"),
        ("calculate 12 * 9", "calculator"),
        ("add a todo to call Ann", "todo_store.add"),
        ('" OR ) NEAR( * museum dakar', "museum_dakar"),
    ],
)
def test_the_tool_that_is_asked_for_is_among_few(
    many: Mapping[str, Tool], prompt: str, wanted: str
) -> None:
    index = ToolIndex(many)

    best = index.best(prompt, many, 8)

    assert wanted in best
    assert len(best) == 8
    assert best == [name for name in many if name in best]
    assert ToolIndex(many).best(prompt, many, 8) == best


@pytest.mark.parametrize("prompt", ["...", "おはよう", "\0", "x " * 10_000])
def test_where_no_word_fits_the_first_ones_are_told(many: Mapping[str, Tool], prompt: str) -> None:
    assert ToolIndex(many).best(prompt, many, 3) == list(many)[:3]


def test_only_tools_that_the_run_may_use_are_told(many: Mapping[str, Tool]) -> None:
    allowed = [*PLACES[:20], "calculator"]
    offer = Offers(many, most=5).of(state("weather in lima", allowed))

    assert offer.shortlist
    assert len(offer.shortlist) == 5
    assert "weather_lima" in offer.shortlist
    assert {*offer.shortlist} <= {*allowed}
    assert [*offer.tools] == allowed


@pytest.mark.parametrize("most", [0, 400, 200])
def test_few_enough_tools_are_all_told(many: Mapping[str, Tool], most: int) -> None:
    tools = dict(list(many.items())[:200])
    offer = Offers(tools, most=most).of(state("weather in lima"))

    assert offer.shortlist is None
    assert all(signature(one) in offer.text for one in tools.values())


def test_the_prompt_does_not_grow_with_the_tools(many: Mapping[str, Tool]) -> None:
    prompt = "weather in lima"
    few = dict(list(many.items())[-20:])
    all_of_few, short, everything = (
        Offers(tools, most=most).of(state(prompt))
        for tools, most in ((few, 0), (many, 20), (many, 0))
    )
    sizes = [
        len(offer.text + json.dumps(offer.form.schema)) for offer in (all_of_few, short, everything)
    ]

    assert sizes[1] < 1.2 * sizes[0]
    assert sizes[1] < 0.7 * sizes[2]


def test_a_tool_that_was_named_is_told_the_next_time(many: Mapping[str, Tool]) -> None:
    """To the letter, whatever stands around it."""
    offers = Offers(many, most=5)
    said = 'I need "filler.number149", and museum_dakar. Not filler.number14x or Calculator.'

    before = offers.of(state("weather in lima")).shortlist
    after = offers.of(state("weather in lima"), [said]).shortlist

    assert before is not None
    assert after is not None
    assert {*after} - {*before} == {"filler.number149", "museum_dakar"}


def test_so_many_texts_are_kept(many: Mapping[str, Tool]) -> None:
    offers = Offers(many)
    for number in range(2 * MOST_KEPT):
        offers.of(state("task", [f"filler.number{number}"]))
    first = offers.of(state("task", ["calculator"]))

    assert len(offers._kept) == MOST_KEPT
    assert offers.of(state("task", ["calculator"])).form is first.form


async def planned(
    many: Mapping[str, Tool], storage: Storage, model: ScriptedModel, prompt: str
) -> RunState:
    breaker = CircuitBreaker((), threshold=100, pause=60.0)
    ladder = ModelLadder({model.name: model}, [model.name], breaker, shortlist=5)
    graph = build_graph(many, store=storage.store, ladder=ladder, input_schema=Channels)
    return whole(await graph.ainvoke(split(state(prompt))))


async def test_the_log_says_which_tools_the_model_was_told_of(
    many: Mapping[str, Tool], storage: Storage
) -> None:
    model = ScriptedModel("a/one", [plan_of(("weather_lima", {"day": "today"}))])

    run = await planned(many, storage, model, "how is the weather in Lima")

    [call] = run["planning_log"]
    told = model.calls[0].messages[0]["content"]
    assert run["status"] == "completed"
    assert "weather_lima" in call["shortlist"]
    assert [name for name in many if signature(many[name]) in told] == call["shortlist"]
    assert all(name in str(model.calls[0].schema) for name in call["shortlist"])
    assert "filler.number149" not in str(model.calls[0].schema)


def test_the_names_of_the_others_are_told_as_far_as_there_is_room(
    many: Mapping[str, Tool],
) -> None:
    tail = Offers(many, most=5).of(state("weather in lima")).text[-2 * MOST_NAMES :]
    names = tail[tail.index(f"{len(many) - 5} more tools") :].splitlines()[-1].split(", ")

    assert names[-1] == "…"
    assert len(names) > 50
    assert {*names[:-1]} < {*many}
    assert len(", ".join(names)) <= MOST_NAMES
    assert "more tool" not in Offers(many).of(state("weather in lima")).text


@pytest.mark.parametrize("asked", ["weather_lima, filler.number149", "the weather of Lima"])
@pytest.mark.parametrize("first", [False, True])
async def test_a_model_asks_for_a_tool_in_a_look_and_gets_it(
    many: Mapping[str, Tool], storage: Storage, asked: str, first: bool
) -> None:
    """By its name or by words; with steps it is told of in the next round, without at once."""
    steps = [("museum_dakar", {"day": "today"})] if first else []
    looks = round_of_steps(*steps, then="look", says=asked)
    plans = plan_of(("weather_lima", {"day": "today"}))
    model = ScriptedModel("a/one", [looks, plans])

    run = await planned(many, storage, model, "how was museum dakar")

    line = signature(many["weather_lima"])
    assert [line in call.messages[0]["content"] for call in model.calls] == [False, True]
    assert ["weather_lima" in entry["shortlist"] for entry in run["planning_log"]] == [False, True]
    assert "weather_lima" in str(model.calls[1].schema)
    assert run["result"]
    assert run["result"]["output"] == "weather_lima today"
    assert [entry["round"] for entry in run["planning_log"]] == ([1, 2] if first else [1, 1])


async def test_a_plan_may_use_a_tool_that_the_model_was_not_told_of(
    many: Mapping[str, Tool], storage: Storage
) -> None:
    """It is held to the tool's own schema as always; a wrong call gets to see the tool."""
    wrong = plan_of(("filler.number149", {"date": "today"}))
    right = plan_of(("filler.number149", {"day": "today"}))
    model = ScriptedModel("a/one", [wrong, right])

    run = await planned(many, storage, model, "how is the weather in Lima")

    outcomes = [entry["outcome"] for entry in run["planning_log"]]
    first, second = (call.messages[0]["content"] for call in model.calls)
    line = signature(many["filler.number149"])
    assert outcomes == ["rejected", "planned"]
    assert (line in first, line in second) == (False, True)
    assert run["result"]
    assert run["result"]["output"] == "filler.number149 today"
