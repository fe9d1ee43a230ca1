"""What the calculator says of what it cannot calculate."""

from collections.abc import Mapping

from tests.support.wording.messages import refusal
from tools.calculator import MAX_DIGITS, calculate
from tools.registry import ToolError

#: Expressions that are no arithmetic, by what is wrong with them.
UNFIT: Mapping[str, str] = {
    "empty": "",
    "blank": " \n",
    "division": "1 / 0",
    "remainder": "5 % (2 - 2)",
    "division.power": "0 ** -1",
    "name": "pi * 2",
    "name.word": "two + 2",
    "name.times": "3 x 4",
    "name.imaginary": "1j",
    "name.hexadecimal": "0x10",
    "name.octal": "1 + 0o17",
    "name.binary": "-0B1",
    "underscore": "1_000",
    "commas": "1,000",
    "units": "$5",
    "caret": "2 ^ 3",
    "divide": "8÷2",
    "divide.whole": "7 // 2",
    "equals": "1 + 1 =",
    "lines": "1 + 1\n2 + 2",
    "backslash": "1 +\\\n1",
    "comment": "1 # one",
    "null": "1 \x00",
    "quotes": "'1' '2'",
    "digits": "٣ + 1",
    "dots": "...",
    "percent": "15%",
    "operand.missing": "1 +",
    "operand.two": "1 + * 2",
    "operator.missing": "5 5",
    "operator.point": "1.2.3",
    "call": "5 (3)",
    "product.divided": "6/2(1+2)",
    "product.power": "2 ** 3(4)",
    "product.remainder": "10 % (3)(2)",
    "product.behind": "(1+2)3",
    "parentheses.empty": "()",
    "parentheses.open": "(1",
    "parentheses.closed": "1)",
    "zero": "1 + 010",
    "root.negative": "(-8) ** 0.5",
    "root.fourth": "(-16) ** 0.25",
    "root.power": "(-8) ** 0.4",
    "root.inside": "2 ** 0.5 * 2",
    "code": "__import__('os').getcwd()",
    "lambda": "lambda: 1",
}

#: Expressions beyond a limit, by what is too much.
BEYOND: Mapping[str, str] = {
    "limit.power.huge": "9**9**9",
    "limit.power.of-one": "1**99999999",
    "limit.power.tower": "(((2**64)**64)**64)**64",
    "limit.power.chain": "2" + "**2" * 300,
    "limit.value.large": "1e308*10",
    "limit.exponent.large": "1e999999999",
    "limit.exponent.small": "1e-999999999",
    "limit.exponent.digits": "1e" + "9" * 900,
    "limit.value.digits": "9" * (MAX_DIGITS + 1),
    "limit.power.digits": "1e300 ** 10 % 7",
    "limit.power.fraction": "(1e308 + 1) ** 9999.5",
    "limit.parentheses.unclosed": "(" * 500,
    "limit.parentheses.deep": "(" * 400 + "1" + ")" * 400,
    "limit.signs.deep": "-" * 999 + "1",
    "limit.parentheses.long": "1+(" * 200 + "1" + ")" * 200,
    "limit.length": "1+" * 20_000 + "1",
    "limit.part.digits": "*".join(["(3**-5000+2**-8000)", "3**5"] * 30),
    "work": "(8191/8193)**630" + "%0.7" * 230,
    "work.quotients": "(8191/8193)**630" + "/1.7" * 230,
    "work.sums": "(8191/8193)**630" + "+1/3-1/7" * 120,
}


def messages() -> dict[str, str]:
    """What is said of each."""
    return {key: refusal(ToolError, calculate, text) for key, text in (UNFIT | BEYOND).items()}
