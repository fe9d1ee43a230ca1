"""The vocabulary of arithmetic: how people ask for a value and name what is to be done."""

from typing import NamedTuple

from nodes.patterns.phrases import phrase_set, table, word_set

CLASSES = {
    "numbers": ["(the|these|those|both|all) [two|three|following] numbers [:]|numbers"],
}

#: What comes before an expression; taken off again and again. The rest must be an expression.
LEADS = phrase_set(
    [
        "(what|whats|what's|what`s) [is|are|was|does|do|would|will|'s|s] [be]",
        "what (would|will|should|could) be",
        "(how much|how many) (is|are|does|do|would|will|was)",
        "how much (would|will) be",
        "calculate|compute|evaluate|solve|resolve|determine|find|find out|work out|figure out",
        "calculator|calc|math|maths|quick math|arithmetic|question|equation|expression",
        "can i get|may i have",
        "tell|tell us|give|show|provide|supply|return|say|answer|get|print|display|output|explain",
        "me|us|to me",
        "i (need|want|would like|'d like) [to (know|see|have|find|find out|calculate|hear|get)]",
        "i'd like [to (know|see|have|find|find out|calculate|hear|get)]",
        "i (need|want) you to",
        "to (know|calculate|compute|find|find out|figure out|work out|solve)",
        "do you know|let me know|do the math [on|for]|do|perform|run|try|run the numbers [on|for]",
        "know|hear|see|have|with|what's left|left (if|when|after)",
        "a|an|the|this|these|that is|my|following|next|simple|math|maths|correct|exact|final",
        "(answer|result|solution|value|total|outcome|output|calculation|problem|equation|sum)"
        " (to|of|for|from|when|is|if)",
        "(answer|solution|solutions|result|value) (to|of|for) (the|this) "
        "(equation|problem|question|expression|sum|calculation|math problem|following)",
        "(equation|problem|question|expression|calculation|math problem|following) [of]",
        "(do|will|would|can|could|should) (you|i|we) (get|have) (when|if) [you|i|we|one]",
        "(you|i|we) (get|have) (when|if) [you|i|we|one]",
        "(if|when) (you|i|we|one)",
        "(if|when) [you|i|we|one]",
        ":",
        ",",
        "=",
        "please",
        "for me",
        "just",
        "quickly",
    ]
)

#: How numbers joined by "and" are meant: "what do 5 and 3 make".
TOGETHER = table(
    {
        "added [up|together]|add up to|combined|make|makes|equal|equals|sum to|come to|"
        "come out to|altogether|all together|in total|together": "+",
        "multiplied [together|with each other|by each other]": "*",
    }
)

#: What comes after an expression.
TAILS = phrase_set(
    [
        "equal|equals|equal to|equals to|is equal to|is|are|make|makes|come to|comes to|give|gives",
        "=",
        "total|in total|altogether|all together|together|as a number",
        "what|what is it|how much|how much is it|how much is that|what is that|what's that",
        "what (do|would|will|does) (i|you|we|it|that) (get|have|make|equal|come to|be)",
        "what is (the answer|the result|the total|left)|what's (the answer|the result|the total)",
        "come out to|comes out to|add up to|work out to|equal what|be",
        "?|!|.|,|:",
        "for me|please|now|right now|thanks|again|exactly",
        "then",
    ]
)

#: Signs and words between two operands. `reversed` ones name the right side first.
OPERATORS = table(
    {
        "+|plus|add|added to|added with|added on to|increased by|and then add": "+",
        "-|minus|less|take away|takeaway|take|subtract|decreased by|reduced by|without": "-",
        "*|x|times|time|multiplied by|multiply by|multiplied with|multiply|"
        "multiplied times|timesed by": "*",
        "/|over|divided by|divide by|divided|divide|devided by|divided with": "/",
        "%|mod|modulo|modulus": "%",
        "**|^|to the power [of]|raised to [the power] [of]": "**",
        "subtracted from|taken from|taken away from|less than|deducted from": "reversed -",
        "more than|greater than": "reversed +",
        "goes into|go into": "reversed /",
    }
)


class Function(NamedTuple):
    """An operation named before its operands: `sum of A and B`, `subtract A from B`."""

    operator: str
    separators: str
    reversed: bool = False


AND = "and"
TO = "to"
BY = "by"
FROM = "from"
INTO = "into"

#: Which words stand between the operands of a function.
SEPARATORS = {
    AND: phrase_set(["[,] and", ",", "[,] plus", "+", "&", "with", "to"]),
    BY: phrase_set(["by", "times", "with", "x", "[,] and", "*", ","]),
    FROM: phrase_set(["[away] from", "out of", "off of", "off"]),
    INTO: phrase_set(["into", "in"]),
    TO: phrase_set(["by", "over", "and", "with"]),
}

FUNCTIONS = table(
    {
        "[the] (sum|total|addition) of [<numbers>]": Function("+", AND),
        "(add|adding) [up|together] [<numbers>]|sum [up]|total [up]|combine": Function("+", AND),
        "[the] (product|multiplication) of [<numbers>]": Function("*", BY),
        "multiply|multiplying": Function("*", BY),
        "[the] (difference|differences) (between|of|in) [<numbers>]": Function("-", AND),
        "[the] (quotient|ratio|division) of [<numbers>]": Function("/", TO),
        "divide|dividing": Function("/", TO),
        "subtract|subtracting|take [away]|taking [away]|deduct|minus|remove": Function(
            "-", FROM, reversed=True
        ),
        "how many [times (does|do|can|will|would|could)]": Function("/", INTO, reversed=True),
    },
    CLASSES,
)

#: What follows the first operand of "how many times does 5 go into 10", "how many 5s are in 10".
GOES = phrase_set(["go|goes|fit|fits|be divided", "[s|'s] (are|are there|go|fit|can fit)"])

#: A word before one operand, as a template.
PREFIXES = table(
    {
        "half|one half|a half|[the] half of|one half of|a half of|halve": "{} / 2",
        "double|twice|the double of|double of|two times": "{} * 2",
        "triple|thrice|treble": "{} * 3",
        "quadruple": "{} * 4",
        "[the] (square root|root|sqrt) of|sqrt|square root": "{} ** 0.5",
        "square|[the] square of": "{} ** 2",
        "cube|[the] cube of": "{} ** 3",
        "(a|one) third of": "{} / 3",
        "(a|one) (quarter|fourth) of": "{} / 4",
    }
)

#: A word after one operand.
POSTFIXES = table({"squared": "{} ** 2", "cubed": "{} ** 3", "²": "{} ** 2", "³": "{} ** 3"})

#: Percent before another operand.
PERCENT = table(
    {
        "(%|percent|per cent|pct) of": "{0} / 100 * {1}",
        "(%|percent|per cent|pct) (tip|tax|interest|commission) (of|on|for)": "{0} / 100 * {1}",
        "(%|percent|per cent|pct) (off|off of|discount on|less than)": "{1} * (100 - {0}) / 100",
    }
)

#: Going on with the last result: "multiply by 3", "then divide it by 2", "plus 4".
CONTINUATIONS = table(
    {
        "multiply by|times|multiplied by|*|x": "{0} * {1}",
        "divide by|divided by|over|/": "{0} / {1}",
        "add|plus|+|add on|increase by": "{0} + {1}",
        "subtract|minus|take away|deduct|take off|-|decrease by|less": "{0} - {1}",
        "raise to the power of|to the power of|**|^": "{0} ** {1}",
    }
)

#: Words by which a clause may be arithmetic without any digit or number word.
MATH_WORDS = word_set(
    "half halve double twice triple square cube squared cubed root sqrt hundred thousand million "
    "billion"
)

#: Signs of money that say nothing about the value.
MONEY_BEFORE = frozenset({"$"})
MONEY_AFTER = frozenset({"dollars", "dollar", "bucks"})
