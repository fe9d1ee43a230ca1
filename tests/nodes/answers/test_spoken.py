"""The text of an answer as it comes: what is shown of it does not depend on how it is split."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.answers.prompt import LONGEST_ANSWER, SpokenText

PIECES = [
    "<think>",
    "</think>",
    "<THINKING>",
    "</Thinking>",
    "<value>",
    "</value>",
    "a < b",
    "<th",
    "ink>",
    "</",
    "one ",
    " two\n",
    "😀",
    "\0",
    "\ud83d",
    ">",
    "<",
]


def heard(parts: list[str], *, shaped: bool = False) -> tuple[str, SpokenText]:
    """What a watcher has who puts together what is told, and the text itself."""
    spoken, text = SpokenText(shaped=shaped), ""
    for told, offset in [*map(spoken.add, parts), spoken.end()]:
        if told or offset < len(text):
            assert offset <= len(text), "a watcher would miss something"
            text = text[:offset] + told
    return text, spoken


def shown(*parts: str) -> str:
    text, spoken = heard(list(parts))
    assert text == spoken.text
    return text


def test_a_thought_is_never_shown_however_its_tags_are_split() -> None:
    whole = "<think>They want\nthe sum.</think>\n\nIt is 42."

    assert shown(whole) == "It is 42."
    assert shown(*whole) == "It is 42."
    for place in range(len(whole)):
        assert shown(whole[:place], whole[place:]) == "It is 42."


def test_nothing_of_a_thought_is_told_on_the_way() -> None:
    spoken = SpokenText()
    parts = ("<thi", "nk>", "secret", "</", "think>", " It", " is")
    told = [spoken.add(part)[0] for part in parts]

    assert told == ["", "", "", "", "", "It", " is"]


def test_what_only_looks_like_a_tag_is_shown() -> None:
    assert shown("2 <", " 3 and <thin", " ice") == "2 < 3 and <thin ice"
    assert shown("it ends with <") == "it ends with <"


def test_a_thought_that_does_not_end_leaves_what_was_before() -> None:
    assert shown("It is 42. <think>or is", " it") == "It is 42."


def test_a_thought_whose_beginning_was_not_marked_is_taken_back() -> None:
    spoken = SpokenText()

    assert spoken.add("They want the sum.") == ("They want the sum.", 0)
    assert spoken.add("</think>It is 42.") == ("It is 42.", 0)


def test_what_is_for_programs_is_kept_apart() -> None:
    text, spoken = heard(["Two are open.\n<val", 'ue>{"open": "<think>"', "}</value>"], shaped=True)

    assert text == "Two are open."
    assert spoken.values == ['{"open": "<think>"}']


def test_a_value_is_only_for_programs_where_one_was_asked_for() -> None:
    assert shown("Write <val", "ue>4</value> there.") == "Write <value>4</value> there."


def test_words_before_an_end_of_thought_that_nothing_follows_are_shown() -> None:
    assert shown("Answer one.", "</th", "ink>\n") == "Answer one."
    assert shown("Thought.</think>Answer one.</think>") == "Answer one."
    assert heard(["Thought.</think><value>4</value>"], shaped=True)[0] == ""


def test_an_answer_without_end_is_cut() -> None:
    text, spoken = heard(["word "] * LONGEST_ANSWER)

    assert text == spoken.text
    assert text.endswith("…")
    assert len(text) == LONGEST_ANSWER + 1


def test_what_no_record_can_hold_is_not_shown() -> None:
    assert shown("a\0b\ud83d") == "ab?"


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans(), st.data())
def test_any_split_of_an_answer_shows_the_same(
    pieces: list[str], shaped: bool, data: st.DataObject
) -> None:
    whole = "".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    places = [0, *cuts, len(whole)]
    parts = [whole[begin:end] for begin, end in pairwise(places)]

    text, spoken = heard(parts, shaped=shaped)
    at_once, other = heard([whole], shaped=shaped)

    assert text == spoken.text == at_once
    assert spoken.values == other.values
    assert "\0" not in text
