"""Arithmetic as people say it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.patterns.grammar.numbers import read_number
from nodes.patterns.planner import PatternPlanner
from tools.calculator import calculate
from tools.loading import BUILTIN
from tools.registry import make_tools

PLANNER = PatternPlanner(make_tools(BUILTIN))


def value(prompt: str) -> Fraction:
    """The value of a prompt that has to be one calculation."""
    [step] = PLANNER.read(prompt).steps
    assert step["tool"] == "calculator"
    return Fraction(str(calculate(step["input"]["expression"])))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("2 + 2", 4),
        ("what's 5x3", 15),
        ("5 × 3", 15),  # noqa: RUF001  # as typed on a phone
        ("10 ÷ 4", "2.5"),
        ("what is 0.1 + 0.2", "0.3"),
        ("1,234,567 + 1", 1234568),
        ("080 + 1", 81),
        ("add 5 and 3", 8),
        ("add 5, 7, and 9", 21),
        ("what do you get when you add 5 to 3", 8),
        ("the sum of five and three", 8),
        ("what's the sum of the two numbers 4 and 6", 10),
        ("what do 5 and 3 make", 8),
        ("5 plus 3 equals what", 8),
        ("subtract 3 from 5", 2),
        ("take 3 away from 5", 2),
        ("what is 3 less than 5", 2),
        ("the difference between 5 and 3", 2),
        ("multiply 5 by 3", 15),
        ("the product of 5 and 3", 15),
        ("divide 10 by 4", "2.5"),
        ("10 over 4", "2.5"),
        ("how many times does 5 go into 10", 2),
        ("what's five times (three plus two)?", 25),
        ("half of 10", 5),
        ("two thirds of 9", 6),
        ("3/4 of 18", "13.5"),
        ("double 5", 10),
        ("5 squared", 25),
        ("2 to the power of 5", 32),
        ("2 to the fifth power", 32),
        ("the square root of 81", 9),
        ("15% of 200", 30),
        ("30% off 50", 35),
        ("what is fifteen percent of $200", 30),
        ("136 plus three hundred and eighty seven", 523),
        ("three hundred and four plus one", 305),
        ("the sum of one hundred and two hundred", 300),
        ("2.5 million plus one", 2500001),
        ("negative 8 plus 3", -5),
        ("8 - -3", 11),
        ("two and a half plus one", "3.5"),
        ("three point one four plus zero", "3.14"),
    ],
)
def test_words_become_the_right_value(prompt: str, expected: int | str) -> None:
    assert value(prompt) == Fraction(expected)


@pytest.mark.parametrize(
    "prompt",
    [
        "5",
        "five six",
        "5 +",
        "2 + 2 = 5",
        "15%",
        "10% plus 20",
        "multiply",
        "times 3",
        "the sum of 5 and 6 times 2",
        "5 into 10",
        "what's the difference between 4g and 5g",
        "(2 + 3",
        "((((((((((" * 20 + "1 + 1",
    ],
)
def test_what_is_incomplete_or_has_two_readings_is_refused(prompt: str) -> None:
    assert PLANNER.read(prompt).steps == []


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("what is 2 + 3, then double it", "({step_1_output}) * 2"),
        ("what is 2 + 3 and multiply the result by 4", "({step_1_output}) * 4"),
        ("add 2 and 3 and then divide by 4", "({step_1_output}) / 4"),
        ("add 2 and 3, then subtract 4 from it", "({step_1_output}) - 4"),
        ("add 2 and 3, then subtract it from 4", "4 - ({step_1_output})"),
    ],
)
def test_a_calculation_goes_on_with_the_last_result(prompt: str, expected: str) -> None:
    first, second = PLANNER.read(prompt).steps
    assert first["input"] == {"expression": "2 + 3"}
    assert second["input"] == {"expression": expected}


_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spoken(number: int) -> str:
    """A number as it is said."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        ones = f" {_ONES[number % 10]}" if number % 10 else ""
        return _TENS[number // 10 - 2] + ones
    for size, name in ((10**6, "million"), (10**3, "thousand"), (100, "hundred")):
        if number >= size:
            rest = number % size
            joint = " and " if 0 < rest < 100 else " "
            return f"{spoken(number // size)} {name}" + (joint + spoken(rest) if rest else "")
    raise AssertionError


@given(st.integers(min_value=0, max_value=999_999_999))
def test_every_spoken_number_is_read_back(number: int) -> None:
    words = spoken(number).split()
    assert read_number(words, 0, len(words)) == (str(number), len(words))
