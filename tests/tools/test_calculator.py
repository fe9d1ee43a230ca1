"""The calculator: exact values as JSON can hold them, and a reason for everything else."""

import contextlib
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.patience import patience
from tests.support.wording.tools.calculator import BEYOND, UNFIT
from tools.calculator import MAX_BITS, MAX_LENGTH, calculate, calculator, power_of
from tools.registry import ToolError, make_tool


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """What is done in it takes little work, however long the machine takes for that."""
    started = time.thread_time()
    yield
    assert time.thread_time() - started < patience(2)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.1 + 0.2", 0.3),
        ("(10 + 5) * 2", 30),
        ("15 / 100 * 200", 30),
        ("71+-3", 68),
        ("10*+1", 10),
        ("-(4 - 6)", 2),
        ("7 / 2", 3.5),
        ("1 / 3 * 3", 1),
        (".5 + 5.", 5.5),
        ("1.5e3", 1500),
        ("-7 % 3", 2),
        ("7.5 % 2", 1.5),
        ("2 ** 10", 1024),
        ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512),
        ("2 ** -2", 0.25),
        ("625 ** 0.5", 25),
        ("27 ** (2 / 3)", 9),
        ("0.25 ** -0.5", 2),
        ("-0", 0),
        ("(-3) ** 2", 9),
        ("-(3 ** 2)", -9),
        ("(-2) ** -3", -0.125),
        ("64 ** (1 / 3)", 4),
        ("(-27) ** (1 / 3)", -3),
        ("(-32) ** 0.2", -2),
        ("(-0.008) ** (-1 / 3)", -5),
        ("(8 / 125) ** (1 / 3)", 0.4),
        ("17 % 5", 2),
        ("1e3 + 5", 1005),
        ("2E3*1.5", 3000),
        ("2e-3", 0.002),
        ("\t 1\n", 1),
    ],
)
async def test_a_value_that_json_holds_exactly_is_a_number(
    expression: str, value: int | float
) -> None:
    result = await calculator(expression)

    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2(3+4)", 14),
        ("(1+2)(3+4)", 21),
        ("2(3)(4)", 24),
        ("2(3(4))", 24),
        ("1 + 2(3) ** 2", 19),
        ("-2(3)", -6),
        ("8-2(3)", 2),
        ("8 - -2(3)", 14),
        ("8*2(3)", 48),
        ("6/(2(3))", 1),
        ("(6/2)(3)", 9),
        ("6/2 + 2(3)", 9),
        ("6/2-2(3)", -3),
        ("2.(3)", 6),
        ("1e2(3)", 300),
        ("2(3)/4", 1.5),
        ("10 % (2(4))", 2),
    ],
)
def test_a_parenthesis_right_behind_a_number_is_multiplied(
    expression: str, value: int | float
) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["6/2(3)", "6/-2(3)", "6/(2)(3)", "2**3(4)", "2**-3(4)", "9%4(2)", "1+6/2(3)(4)", "8/4(2)**2"],
)
def test_a_product_that_can_be_read_in_two_ways_is_refused(expression: str) -> None:
    with pytest.raises(ToolError, match="can be read in two ways"):
        calculate(expression)


@pytest.mark.parametrize(
    ("expression", "digits"),
    [
        ("2 ** 53 + 1", "9007199254740993"),
        ("10 ** 30", "1" + "0" * 30),
        ("12345678901234567.5", "12345678901234567.5"),
        ("0.1 ** 18 * 3 + 1", "1.000000000000000003"),
        ("1 / 3", "0.3333333333333333333333333333"),
        ("-2 / 3", "-0.6666666666666666666666666667"),
        ("1 / 3 * 10 ** 300", "3.333333333333333333333333333E+299"),
        ("5 ** 0.5", "2.236067977499789696409173669"),
        ("2 ** (1 / 3)", "1.259921049894873164767210607"),
        ("(-2) ** (1 / 3)", "-1.259921049894873164767210607"),
        ("1.005 ** 1200", "397.4423186486039739401658121"),
    ],
)
def test_a_value_that_a_double_would_change_is_a_string_of_digits(
    expression: str, digits: str
) -> None:
    assert calculate(expression) == digits


def test_a_string_of_digits_can_be_calculated_with_again() -> None:
    assert calculate(f"{calculate('10 ** 300 / 3')} / 10 ** 299") == (
        "3.333333333333333333333333333"
    )


@pytest.mark.parametrize("expression", UNFIT.values(), ids=UNFIT)
def test_what_is_not_arithmetic_gets_its_reason_at_once(expression: str) -> None:
    with pytest.raises(ToolError) as error:
        calculate(expression)

    assert error.value.retryable is False


@pytest.mark.parametrize("expression", BEYOND.values(), ids=BEYOND)
def test_beyond_a_limit_is_a_quick_error(expression: str) -> None:
    with quick(), pytest.raises(ToolError):
        calculate(expression)


def test_roots_of_high_degree_are_found_at_once() -> None:
    """Each took a fifth of a second, and a prompt may have hundreds."""
    roots = "+".join(["((8193/8195)**1170)**(1/1170)"] * 10)
    with quick():
        assert calculate(f"{roots} - 81930/8195") == 0


@pytest.mark.parametrize("degree", [2, 3, 7, 40, 333])
@given(root=st.integers(2, 2**400), off=st.sampled_from([-1, 1]))
def test_a_root_is_found_where_there_is_one(root: int, off: int, degree: int) -> None:
    assume(root.bit_length() * degree < MAX_BITS)
    power = Fraction(root**degree)
    assert power_of(power, Fraction(1, degree)) == root
    assert power_of(power + off, Fraction(1, degree)) is None


def test_a_sum_as_long_as_the_limit_is_calculated() -> None:
    assert calculate("1+" * (MAX_LENGTH // 2 - 1) + "1") == MAX_LENGTH // 2


Expression = tuple[str, Fraction]


def _literals() -> st.SearchStrategy[Expression]:
    decimals = st.decimals(-10_000, 10_000, allow_nan=False, places=3)
    return decimals.map(lambda number: (f"({number:f})", Fraction(number)))


def _combined(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def combine(left: Expression, sign: str, right: Expression) -> Expression:
        assume(sign in "+-*" or right[1] != 0)
        values = {
            "+": lambda: left[1] + right[1],
            "-": lambda: left[1] - right[1],
            "*": lambda: left[1] * right[1],
            "/": lambda: left[1] / right[1],
            "%": lambda: left[1] % right[1],
        }
        return f"({left[0]} {sign} {right[0]})", values[sign]()

    return st.builds(combine, parts, st.sampled_from("+-*/%"), parts)


@given(st.recursive(_literals(), _combined, max_leaves=12))
def test_every_value_agrees_with_rational_arithmetic(expression: Expression) -> None:
    text, value = expression
    result = calculate(text)

    shown = Fraction(Decimal(repr(result) if not isinstance(result, str) else result))
    assert abs(shown - value) <= abs(value) / 10**27
    if not isinstance(result, str):
        assert shown == value


@given(st.text("0123456789.e+-*/%() ", max_size=120) | st.text(max_size=60))
def test_any_text_gives_a_value_or_a_reason(text: str) -> None:
    with quick(), contextlib.suppress(ToolError):
        assert isinstance(calculate(text), int | float | str)


def test_it_is_declared_as_harmless_to_repeat() -> None:
    tool = make_tool(calculator)

    assert (tool.name, tool.effects, tool.idempotent) == ("calculator", False, True)
    assert "15 / 100 * 200" in tool.description
