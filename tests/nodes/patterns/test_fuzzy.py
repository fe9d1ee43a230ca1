"""The loose reading: requests that no sentence of the tables fits, and what it must leave alone."""

import pytest

from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def plan(prompt: str) -> list[tuple[str, dict[str, str]]]:
    return [(step["tool"], step["input"]) for step in PLANNER.read(prompt).steps]


@pytest.mark.parametrize(
    ("prompt", "item"),
    [
        ("oh shoot bung call Mum on my to do list would ya", "call Mum"),
        ("help me add collect parcel to my to do list leh", "collect parcel"),
        ("add for me to the to do list prepare the couscous", "prepare the couscous"),
        ("to my to do list you can add search a new flat", "search a new flat"),
        ("put in my to-do list to buy a gift", "buy a gift"),
        ("to do list, add review merger docs", "review merger docs"),
        ("could you be super sweet and put oil change on my to do list", "oil change"),
        ("i must not forget, add pay the gym to my to-do list", "pay the gym"),
        ("put me buy the bread on the to do list", "buy the bread"),
        ("write down feed the cat on my todo", "feed the cat"),
    ],
)
def test_an_item_is_added_whatever_is_said_around_it(prompt: str, item: str) -> None:
    assert plan(prompt) == [("todo_store.add", {"text": item})]


@pytest.mark.parametrize(
    ("prompt", "item"),
    [
        ("nah take haircut off my list", "haircut"),
        ("ye can kick phone the vet off the list", "phone the vet"),
        ("no need already, delete tuition from my to-do list", "tuition"),
        ("i'm not doing it so drop gutters from my to do list", "gutters"),
        ("yoga is cancelled so take yoga off my to do list", "yoga"),
        ("take carpool off my to do list, dave's doing it", "carpool"),
    ],
)
def test_a_verb_of_taking_and_off_the_list_delete(prompt: str, item: str) -> None:
    assert plan(prompt) == [("todo_store.delete", {"todo": item})]


def test_a_verb_of_ticking_and_off_the_list_complete() -> None:
    assert plan("alrighty scratch safety walk off my to do list, that's done") == [
        ("todo_store.complete", {"todo": "safety walk"})
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "yo whats on my todo",
        "spit out my list",
        "my to do list got what ah",
        "give us a squiz at the list",
        "could i get a quick rundown of my to do list please",
        "give me the bad news, what's on the to-do list",
    ],
)
def test_any_question_about_the_list_or_wish_to_have_it_lists(prompt: str) -> None:
    assert plan(prompt) == [("todo_store.list", {})]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("is the chem lab report on my todo list or nah", "the chem lab report"),
        ("is on my to do list change of oil filter", "change of oil filter"),
        ("i already put doctor appointment on my to-do list?", "doctor appointment"),
        ("tell me hoovering isn't on my to do list", "hoovering"),
    ],
)
def test_a_question_about_one_item_asks_whether_it_is_there(prompt: str, text: str) -> None:
    assert plan(prompt) == [("todo_store.list", {"show": "exists", "text": text})]


@pytest.mark.parametrize(
    ("prompt", "expression"),
    [
        ("abeg what is 15 minus 6", "15 - 6"),
        ("chuck us the answer to 6.5 times 8", "6.5 * 8"),
        ("my brain's gone to mush what is 350 divided by 14", "350 / 14"),
        ("what, pray, is 210 divided by 14", "210 / 14"),
        ("can help me calculate 256 plus 128 or not", "256 + 128"),
        ("what's twelve lots of seven", "12 * 7"),
        ("how much is 92 divided between 4", "92 / 4"),
        ("what's six sevens", "6 * 7"),
        ("25 less than 18", "18 - 25"),
        ("subtract 18 from 25 would ya", "25 - 18"),
    ],
)
def test_talk_around_a_calculation_does_not_change_it(prompt: str, expression: str) -> None:
    assert plan(prompt) == [("calculator", {"expression": expression})]


def test_each_request_of_several_may_be_read_loosely() -> None:
    assert plan("honey what gives 75 minus 18, and put also call Bob on my to-do list") == [
        ("calculator", {"expression": "75 - 18"}),
        ("todo_store.add", {"text": "call Bob"}),
    ]


@pytest.mark.parametrize(
    "prompt",
    [
        "nah don't add milk to my to do list",
        "no need to add milk to my to do list",
        "never mind adding milk to my to do list",
        "if it rains add buy umbrella to my to do list",
        "when i get home add laundry to my to do list",
        "unless bob calls, put call bob on my to do list",
    ],
)
def test_what_is_denied_or_conditional_is_refused(prompt: str) -> None:
    assert plan(prompt) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "hey put milk on my shopping list",
        "add milk to the calendar and bread to my to do list",
        "move milk from my grocery list to my to do list",
        "take a picture of my to do list",
        "email my to do list to my wife",
        "delete the to do list app",
        "what's the best to do list app",
        "play the song to do list",
        "schedule time for my to do list tomorrow",
        "my to do list is too long",
        "how do i make a to do list",
        "what tasks can you complete for me",
        "do everything on my to do list for me",
        "you added milk to my to do list",
    ],
)
def test_words_of_the_list_in_another_request_are_refused(prompt: str) -> None:
    assert plan(prompt) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "yo what is 5 plus 3 dollars in euros",
        "mate book a table for 5 plus 3 people",
        "text bob 5 plus 3",
        "what's 5 plus 3 in binary",
        "what is the median of 5 and 10",
        "is 5 plus 3 equal to 9",
        "what time is it 5 plus 3 hours from now",
    ],
)
def test_one_word_that_is_no_talk_leaves_a_calculation_unread(prompt: str) -> None:
    assert plan(prompt) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "bung milk on my to do list and play some jazz",
        "yo what's 5 plus 3, and call bob",
        "wake me at six, nah take haircut off my list",
    ],
)
def test_one_request_that_nothing_reads_refuses_the_whole_prompt(prompt: str) -> None:
    reading = PLANNER.read(prompt)
    assert reading.steps == []
    assert reading.unparsed != []


@pytest.mark.parametrize("end", [", never mind", " - forget it", ". scratch that"])
def test_a_request_taken_back_is_not_carried_out(end: str) -> None:
    assert plan("yo bung milk on my to do list" + end) == []
