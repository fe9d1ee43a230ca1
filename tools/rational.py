"""Bounded arithmetic on fractions, and what JSON can hold of a result."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction

from tools.registry import ToolError

MAX_DIGITS = 309  # of a number, as many as the largest double has
MAX_EXPONENT = 10_000  # of a power
MAX_BITS = 16_384  # of an exact intermediate value; keeps the slowest expression in milliseconds
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
        raise ToolError("a negative number has no real root; its exponent must be whole")
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


def _whole_root(number: int, degree: int) -> int | None:
    """The whole `degree`-th root, by Newton's method from above, or None."""
    if degree == 1 or number < 2:
        return number
    if degree >= number.bit_length():
        return None
    root = 1 << -(-number.bit_length() // degree)
    while (closer := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = closer
    return root if root**degree == number else None


def irrational_power(base: Fraction, exponent: Fraction) -> str:
    """28 significant digits of a power that has no exact value."""
    # Twice the digits that are shown: the error of the steps stays far behind the last one.
    precise = Context(prec=2 * ROUNDED_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
    power = precise.power(_quotient(base, precise), _quotient(exponent, precise))
    if power >= _LIMIT:
        raise ToolError(_too_large())
    return str(Context(prec=ROUNDED_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN).plus(power))


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
