"""Exact arithmetic: `0.1 + 0.2` is `0.3`, and a third is not cut off before the end."""

import ast
import math
import operator
import re
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction

from tools.registry import ToolError, tool

MAX_LENGTH = 1_000  # characters of an expression
MAX_DEPTH = 100  # parentheses, signs and powers inside one another

_ALLOWED = "only numbers, + - * / % ** and parentheses are understood"
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]+))?)"
    r"|(?P<symbol>\*\*|[-+*/%()])|[ \t]+|(?P<name>[^\W\d]\w*)|(?P<other>.)",
    re.DOTALL,
)
_OTHER_BASE = re.compile(r"\D?0[xXoObB]")
_INSTEAD = {
    "^": "write ** for a power",
    "√": "write ** 0.5 for a square root",
    "÷": "write / to divide",
    ",": "write numbers without commas, as in 1000.50",
    "=": "leave it out",
    "\n": "write the expression on one line",
    **dict.fromkeys("×·∙⋅", "write * to multiply"),  # noqa: RUF001  # as pasted from elsewhere
    **dict.fromkeys("−–—", "write - to subtract"),  # noqa: RUF001
    **dict.fromkeys("$€£¥", "write numbers without units"),
}


@tool(effects=False, idempotent=True)
async def calculator(expression: str) -> int | float | str:
    """Calculate an arithmetic expression exactly, for example (10 + 5) * 2.

    Understands decimal numbers, + - * / and parentheses, % (the remainder of a division) and
    ** (power; 16 ** 0.5 is the square root, 8 ** (1 / 3) the cube root). No words, variables,
    functions, units or thousands separators; a percentage such as 15% of 200 is written
    15 / 100 * 200. The answer is a number, or a string of digits where a JSON number would lose
    some of them.
    """
    # A coroutine, not a blocking function: `MAX_WORK` bounds what it takes to less than what
    # handing it to a thread and back would delay anyone else.
    return calculate(expression)


def calculate(expression: str) -> int | float | str:
    """The value of an arithmetic expression, as what JSON can hold without loss.

    An integer up to 2^53 is an int; a decimal that a double's shortest form spells exactly is a
    float; anything else is a string: the exact decimal up to 309 digits, otherwise (a third, a
    square root) 28 significant digits. Raises `ToolError`, never retryable, for everything else.
    """
    text = expression.strip()
    _check_text(text)
    body = _parsed(text)
    if (products := _with_products(text)) != text:
        text, body = products, _parsed(products)
    work = _Work()
    if isinstance(body, ast.BinOp) and isinstance(body.op, ast.Pow):
        base, exponent = _value(body.left, text, work), _value(body.right, text, work)
        work.spend(base, exponent)
        exact = power_of(base, exponent)
        return irrational_power(base, exponent) if exact is None else json_number(bounded(exact))
    return json_number(_value(body, text, work))


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ToolError(_unreadable(text, error)) from None
    except (RecursionError, MemoryError):
        raise ToolError(_too_deep()) from None


def _check_text(text: str) -> None:
    if not text:
        raise ToolError("the expression is empty; give one such as (10 + 5) * 2")
    if len(text) > MAX_LENGTH:
        raise ToolError(f"the expression has {len(text)} characters; {MAX_LENGTH} is the most")
    depth = 0
    for token in _TOKEN.finditer(text):
        found = token[0]
        depth += (found == "(") - (found == ")")
        if depth < 0:
            raise ToolError(f"the ')' at character {token.start() + 1} closes nothing")
        if depth > MAX_DEPTH:
            raise ToolError(_too_deep())
        if token["name"]:
            raise ToolError(_unknown_name(found, text[: token.start()]))
        if token["other"]:
            instead = _INSTEAD.get(found, _ALLOWED)
            raise ToolError(f"{found!r} at character {token.start() + 1} is not known; {instead}")
    if depth:
        raise ToolError(f"{depth} closing ')' missing")


def _with_products(text: str) -> str:
    """The text with a `*` between a number or a `)` and the `(` that follows at once.

    Raises `ToolError` after a division or a power, where two readings differ: 6/2(3).
    """
    written: list[str] = []
    opened: list[tuple[int, str]] = []  # for each parenthesis its place, and what is before it
    start, before, ended = 0, "", False  # the operand at hand, and whether it has ended
    for token in _TOKEN.finditer(text):
        found = token[0]
        if found == "(":
            if ended and not written[-1].isspace():
                if before in ("/", "%", "**"):
                    raise ToolError(
                        f"{text[start : start + 20]!r} after {before!r} can be read in two ways; "
                        "write the * and parentheses"
                    )
                written.append("*")
                before = "*"
            opened.append((token.start(), before))
            before, ended = "", False
        elif found == ")":
            (start, before), ended = opened.pop(), True
        elif token["number"]:
            start, ended = token.start(), True
        elif token["symbol"]:
            # A sign belongs to the operand that follows it.
            before, ended = found if ended else before, False
        written.append(found)
    return "".join(written)


def _unknown_name(name: str, before: str) -> str:
    if name.startswith("_"):
        return "'_' is not part of a number here; write 1000, not 1_000"
    if name in ("x", "X"):
        return f"unknown name {name!r}; write * to multiply"
    if _OTHER_BASE.fullmatch(before[-2:] + name[:1]):
        return f"{f'0{name[:40]}'!r} is not a decimal number; write it with the digits 0 to 9"
    shown = name if len(name) <= 40 else f"{name[:40]}…"
    return f"unknown name {shown!r}; {_ALLOWED}"


def _unreadable(text: str, error: SyntaxError) -> str:
    tokens = [token[0] for token in _TOKEN.finditer(text) if not token[0].isspace()]
    last = tokens[-1]
    if last == "%":
        return "a number is missing after '%'; 15% of 200 is written 15 / 100 * 200"
    if last in "+-**/":
        return f"a number is missing after the last {last!r}"
    if any(token.isdigit() and token[0] == "0" and token.strip("0") for token in tokens):
        return "a number begins with a needless 0; write 10, not 010"
    start = max((error.offset or 1) - 1, 0)
    return (
        f"not an arithmetic expression at character {start + 1}, {text[start : start + 20]!r}: "
        "a number or an operator is missing there, or one too many"
    )


def _too_deep() -> str:
    return f"parentheses, signs or powers are nested too deeply; {MAX_DEPTH} levels are the most"


class _Work:
    """Counts what an expression takes: the digits of one operand by those of the other."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, *operands: Fraction) -> None:
        """Count one operation. Raises `ToolError` where they become too much."""
        bits = sum(
            operand.numerator.bit_length() + operand.denominator.bit_length()
            for operand in operands
        )
        self._left -= (bits // _DIGIT) ** 2
        if self._left < 0:
            raise ToolError(
                "the expression takes too much work; use fewer operations, or shorter numbers"
            )


def _value(node: ast.expr, text: str, work: _Work, depth: int = 0) -> Fraction:
    if depth > MAX_DEPTH:
        raise ToolError(_too_deep())
    # Long sums lean to the left; following that side in a loop keeps them off Python's stack.
    chain: list[ast.BinOp] = []
    while isinstance(node, ast.BinOp):
        chain.append(node)
        node = node.left
    value = _operand(node, text, work, depth)
    for step in reversed(chain):
        operation = _OPERATIONS.get(type(step.op))
        if operation is None:
            raise ToolError("'//' is not understood; write / to divide, % for the remainder")
        right = _value(step.right, text, work, depth + 1)
        work.spend(value, right)
        result = operation(value, right)
        if result is None:
            raise ToolError(
                "a root that has no exact value can only be the last operation, as in 5 ** 0.5"
            )
        value = bounded(result)
        if isinstance(step.op, ast.Pow):
            work.spend(value)  # of a small base comes what is long
    return value


def _operand(node: ast.expr, text: str, work: _Work, depth: int) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()):
            return _literal(text[node.col_offset : node.end_col_offset])
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, text, work, depth + 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, text, work, depth + 1)
        case ast.Call(func=function):
            raise ToolError(
                f"an operator is missing before the '(' after {ast.unparse(function)[-20:]!r}; "
                "write * to multiply"
            )
        case ast.Tuple():
            raise ToolError("there is nothing between '(' and ')'")
        case _:
            raise ToolError(f"not an arithmetic expression; {_ALLOWED}")


def _literal(text: str) -> Fraction:
    """The number as written: going through a float would make 0.1 something else."""
    token = _TOKEN.fullmatch(text)
    if token is None or not token["number"]:
        raise ToolError(f"{text[:40]!r} is not a decimal number")
    exponent = token["exponent"]
    # Checked before it is built: 1e999999999 has a billion digits.
    if exponent and abs(int(exponent)) >= MAX_DIGITS:
        raise ToolError(f"{text[:40]} is out of range; exponents end at {MAX_DIGITS - 1}")
    return bounded(Fraction(text))


# Bounded arithmetic on fractions, and what JSON can hold of a result.


MAX_EXPONENT = 10_000  # of a power
_FLOAT_BITS = 40  # of a number of which a float tells all, after the rounding of a logarithm
MAX_WORK = 10**7  # digits by digits in one expression; as many take milliseconds
_DIGIT = 64  # bits
MAX_BITS = 16_384  # of an exact intermediate value; keeps the slowest expression in milliseconds


def divide(left: Fraction, right: Fraction) -> Fraction:
    """The quotient; raises `ToolError` for a divisor of 0."""
    if not right:
        raise ToolError("division by zero; the divisor must not be 0")
    return left / right


def remainder(left: Fraction, right: Fraction) -> Fraction:
    """The remainder, with the divisor's sign; raises `ToolError` for a divisor of 0."""
    if not right:
        raise ToolError("remainder of a division by zero; the divisor must not be 0")
    return left % right


def power_of(base: Fraction, exponent: Fraction) -> Fraction | None:
    """The exact power, or None where it is irrational.

    Raises `ToolError` where there is no real value, or none within the limits.
    """
    if abs(exponent) > MAX_EXPONENT:
        raise ToolError(f"an exponent is too large; {MAX_EXPONENT} is the most")
    if not base and exponent < 0:
        raise ToolError("division by zero; 0 has no negative power")
    if base < 0 and exponent.denominator != 1:
        if exponent.denominator % 2 == 0 or abs(exponent.numerator) != 1:
            raise ToolError(_no_real_power(exponent))
        root = power_of(-base, exponent)
        return None if root is None else -root
    numerator = _whole_root(abs(base.numerator), exponent.denominator)
    denominator = _whole_root(base.denominator, exponent.denominator)
    if numerator is None or denominator is None:
        return None
    power = abs(exponent.numerator)
    # Checked before it is built: 9 ** 9 ** 9 would fill the memory.
    if max(numerator.bit_length(), denominator.bit_length()) * power > MAX_BITS:
        raise ToolError("a power takes too many digits; use a smaller exponent or round its base")
    sign = -1 if base < 0 else 1
    return Fraction(sign * numerator, denominator) ** exponent.numerator


def _no_real_power(exponent: Fraction) -> str:
    if exponent.denominator == 2:
        return "a negative number has no real square root"
    return (
        "a negative number has no real power of this kind; its exponent must be whole, or an odd "
        "root as in (-8) ** (1 / 3)"
    )


def _whole_root(number: int, degree: int) -> int | None:
    """The whole `degree`-th root, or None.

    A float tells a small one; beyond, Newton's method from just above doubles its digits.
    """
    if degree == 1 or number < 2:
        return number
    if degree >= number.bit_length():
        return None
    bits = math.log2(number) / degree
    if bits < _FLOAT_BITS:
        root = round(2.0**bits)
        return root if root**degree == number else None
    shift = int(bits) - _FLOAT_BITS
    root = (int(2.0 ** (bits - shift)) + 2) << shift
    while (closer := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = closer
    return root if root**degree == number else None


_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction | None]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: divide,
    ast.Mod: remainder,
    ast.Pow: power_of,
}

MAX_DIGITS = 309  # of a number, as many as the largest double has

ROUNDED_DIGITS = 28  # significant ones of a value whose decimals do not end

_LIMIT = 10**MAX_DIGITS
_LARGEST_JSON_INTEGER = 2**53


def bounded(value: Fraction) -> Fraction:
    """The same value; raises `ToolError` when it is beyond what is calculated exactly."""
    if abs(value) >= _LIMIT:
        raise ToolError(_too_large())
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise ToolError("the exact value of a part takes too many digits; round its numbers")
    return value


def _too_large() -> str:
    return f"a value is too large; numbers have at most {MAX_DIGITS} digits before the point"


def irrational_power(base: Fraction, exponent: Fraction) -> str:
    """28 significant digits of a power that has no exact value."""
    # Twice the digits that are shown: the error of the steps stays far behind the last one.
    precise = Context(prec=2 * ROUNDED_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
    power = precise.power(_quotient(abs(base), precise), _quotient(exponent, precise))
    if power >= _LIMIT:
        raise ToolError(_too_large())
    # Of a negative base there are only the odd roots, which are negative.
    signed = power.copy_negate() if base < 0 else power
    return str(Context(prec=ROUNDED_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN).plus(signed))


def json_number(value: Fraction) -> int | float | str:
    """An int or float that says exactly this value, else a string of its digits."""
    if value.denominator == 1 and abs(value) <= _LARGEST_JSON_INTEGER:
        return value.numerator
    exactly = Context(prec=MAX_DIGITS)
    decimal = _quotient(value, exactly)
    if exactly.flags[Inexact]:
        return str(_quotient(value, Context(prec=ROUNDED_DIGITS)))
    if value.denominator != 1 and Decimal(repr(float(decimal))) == decimal:
        return float(decimal)
    return format(decimal, "f")


def _quotient(value: Fraction, context: Context) -> Decimal:
    return context.divide(Decimal(value.numerator), Decimal(value.denominator))
