"""The vocabulary of arithmetic: how people name what is to be done with numbers."""

from collections.abc import Sequence
from typing import NamedTuple

from nodes.patterns.english.small_talk import ADVERBS, FRIENDS, INTERJECTIONS, LEADS, is_only
from nodes.patterns.grammar.phrases import phrase_set, table, word_set

CLASSES = {
    "is": ["is|are|was|were|gets|get|got|being|be"],
    "them": ["(them|both|these|those|it|the two|both of them|the numbers) [both] [up|together]"],
    "then": ["[,] and [then]|, then|then"],
    "numbers": ["(the|these|those|both|all) [two|three|following] numbers [:]|numbers"],
}

#: How numbers joined by "and" are meant: "what do 5 and 3 make".
TOGETHER = table(
    {
        "[<is>] (added [up|together]|add up to|combined|summed [up]|put together)|make|makes|"
        "equal|equals|is|are|sum to|come to|comes to|come out to|altogether|all together|in total|"
        "together": "+",
        "[be|make|get|come to] (if|when) [you|i|we|they] [<is>] (add|added|combine|combined|sum|"
        "summed|put) [<them>] [together|up]": "+",
        "multiply to|multiplied (makes|make|is|are|equals)": "*",
        "[<is>] multiplied [together|with each other|by each other]": "*",
        "[be|make|get] (if|when) [you|i|we|they] [<is>] (multiply|multiplied) [<them>] "
        "[together]": ("*"),
    },
    CLASSES,
)

#: Signs and words between two operands. `reversed` ones name the right side first, `grouped` ones
#: take everything before them as one operand.
OPERATORS = table(
    {
        "+|plus|plus another|on top of|added by|add to|add|added to|added with|added on to|"
        "increased by|and then add": "+",
        "<is> (added to|added with|increased by)": "+",
        "<then> [you|i|we] (add|plus|added)": "+",
        "-|minus|less|take away|takeaway|take|subtract|subtracted by|subtract by|minused by|"
        "deducted by|deduct|decreased by|reduced by|without|lowered by|"
        "diminished by": "-",
        "<is> (decreased by|reduced by|lowered by)": "-",
        "<then> [you|i|we] (minus|subtract|subtracted|take away|took away)": "-",
        "*|x|times|time|multiplied by|multiply by|multiplied with|multiply|multiplied to|"
        "multiplied times|multiplied|timesed by|multiply with|times by|lots of|multiple by|"
        "(multiplied|multiply|multiple|times) (for|against)|multiplies by|multiplying by|"
        "timesed with|multiply it by|multiple times": "*",
        "<is> (multiplied|timesed) (by|with)": "*",
        "<then> (multiply|times|multiplied) [it|that|this|them] by": "grouped *",
        "/|over|divided by|divide by|divided|divide|divided with|split by|divided up by|"
        "(divided|shared|split) [up] [evenly|equally] (between|among|amongst|in between)|"
        "dividing by|divides by|divided (evenly|equally|up) by": "/",
        "<is> (divided|split) (by|with)": "/",
        "<then> (divide|divided) [it|that|this|them] by": "grouped /",
        "%|mod|modulo|modulus": "%",
        "**|^|[raised] to the power [of]|raised to|to the power of": "**",
        "[<is>] (subtracted from|taken from|taken away from|deducted from|taken off|"
        "taken off of)|less than|fewer than|smaller than": "reversed -",
        "[<is>] added onto|more than|greater than|higher than|bigger than|larger than": (
            "reversed +"
        ),
        "goes into|go into": "reversed /",
    },
    CLASSES,
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
ONLY_BY = "only by"
SPLIT = "split"
ONLY_AND = "only and"
ON = "on"

#: Which words stand between the operands of a function.
SEPARATORS = {
    AND: phrase_set(["[,] and [also] [then]", ",", "[,] plus", "+", "&", "with", "to", "onto"]),
    BY: phrase_set(["by", "times", "with", "x", "[,] and", "*", ","]),
    FROM: phrase_set(["[away] from", "out of", "off of", "off"]),
    INTO: phrase_set(["into", "in", "inside [of]"]),
    ONLY_BY: phrase_set(["by"]),
    ONLY_AND: phrase_set(["[,] and [also] [then]", ",", "&"]),
    SPLIT: phrase_set(["by", "into", "between", "among", "amongst"]),
    TO: phrase_set(["by", "over", "and", "with"]),
}

FUNCTIONS = table(
    {
        "[the] (sum|total|addition) of [adding] [<numbers>]": Function("+", AND),
        "(add|adding|added|adds) [up|together|in] [<numbers>]": Function("+", AND),
        "sum [up] [for me]|total [up] [for me]|combine|combining|adding together": Function(
            "+", AND
        ),
        "[the] (product|multiplication) of [multiplying] [<numbers>]": Function("*", BY),
        "(multiply|multiplying|multiplied|multiplies) [together] [<numbers>]": Function("*", BY),
        "times|timesing": Function("*", ONLY_BY),
        "[the] (difference|differences) (between|of|in) [<numbers>]": Function("-", ONLY_AND),
        "[the] (quotient|ratio|division) of [dividing] [<numbers>]": Function("/", TO),
        "divide|dividing|divided|divides": Function("/", TO),
        "split|splitting|share|sharing": Function("/", SPLIT),
        "[the] (average|mean) (of|between|from) [<numbers>]|average|averaging": Function(
            "mean", ONLY_AND
        ),
        "subtract|subtracting|subtracted|subtracts|take [away]|taking [away]|took [away]|takes "
        "[away]|deduct|deducting|deducted|minus|remove|removing|removed": Function(
            "-", FROM, reversed=True
        ),
        "how many [times (does|do|can|will|would|could|is|are)]": Function(
            "/", INTO, reversed=True
        ),
    },
    CLASSES,
)

#: What follows the first operand of "how many times does 5 go into 10", "how many 5s are in 10".
GOES = phrase_set(
    [
        "[be able to] (go|goes|fit|fits)|be divided|divided|contained",
        "[s|'s] (are|are there|go|fit|can fit)",
        "s|'s",
    ]
)

#: A word before one operand, as a template.
PREFIXES = table(
    {
        "half|one half|a half|[the] half of|one half of|a half of|halve|halving|half the": "{} / 2",
        "double|twice|the double of|double of|two times|doubling": "{} * 2",
        "triple|thrice|treble|tripling|the triple of": "{} * 3",
        "quadruple": "{} * 4",
        "[the] (square root|root|sqrt) of|sqrt|square root|√": "{} ** 0.5",
        "[the] (cube root|third root) of|cube root|∛": "{} ** (1 / 3)",
        "square|[the] square of": "{} ** 2",
        "cube|[the] cube of": "{} ** 3",
        "(a|one) third of": "{} / 3",
        "(a|one) (quarter|fourth) of": "{} / 4",
        "(a|one) fifth of": "{} / 5",
        "(a|one) tenth of": "{} / 10",
    }
)

#: A word after one operand.
POSTFIXES = table(
    {
        "[<is>] squared|²": "{} ** 2",
        "[<is>] cubed|³": "{} ** 3",
        "[<is>] doubled": "{} * 2",
        "[<is>] tripled": "{} * 3",
        "[<is>] quadrupled": "{} * 4",
        "[<is>] halved|[<is>] (divided|cut|split) in half": "{} / 2",
    },
    CLASSES,
)

#: Percent before another operand.
PERCENT = table(
    {
        "(%|percent|per cent|pct) (*|x|times)": "{0} / 100 * {1}",
        "(%|percent|per cent|pct) of": "{0} / 100 * {1}",
        "(%|percent|per cent|pct) (tip|tax|interest|commission) (of|on|for)": "{0} / 100 * {1}",
        "(%|percent|per cent|pct) (off|off of|discount on|less than)": "{1} * (100 - {0}) / 100",
    }
)

#: A percentage that stands for a part of the number before it: "50 + 10%".
PERCENT_SIGN = phrase_set(["%|percent|per cent|pct"])

#: A percentage of a number added to it or taken off it, named in front.
CHANGES = table(
    {
        "increase|raise|up|mark up|boost|grow|increasing|raising": "+",
        "decrease|reduce|lower|cut|mark down|shrink|decreasing|reducing|lowering|discount": "-",
    }
)
CHANGED_BY = phrase_set(["by"])
#: The same with the percentage first: "add 20% to 50", "take 20% off 50".
PERCENT_CHANGES = table(
    {
        "add|adding": ("+", TO),
        "subtract|subtracting|take [away]|taking [away]|deduct|remove|knock|minus|cut": ("-", FROM),
        "[a|the] tip [of]|tipping": ("", ON),
    }
)
ONTO = {
    TO: phrase_set(["to|onto|on to|on|on top of"]),
    FROM: phrase_set(["[away] from|off|off of"]),
    ON: phrase_set(["on|of|for"]),
}
#: What is left over of a division: "the remainder of 17 divided by 5".
REMAINDERS = phrase_set(
    ["[the] (remainder|reminder|rest) (of|when|if|for|from|after) [you|i|we] [divide|dividing]"]
)
DIVIDED_BY = phrase_set(["[<is>] (divided by|divided|over|/|by)"], CLASSES)
LEFT_OVER = phrase_set(["[,] [what is|what's] [the] (remainder|reminder)|mod"])
#: Among whom something is divided: no unit of the number, and the only ones we let stand.
SHARERS = phrase_set(["people|persons|friends|guests|ways|kids|children|colleagues|of us"])
SHARING = word_set("divided shared split")

#: Earlier results by their place: "multiply the first result by the second".
NTH_RESULT = table(
    {
        "[the] (first|1 st) (result|answer|value|output|total)|the first": 0,
        "[the] (second|2 nd) (result|answer|value|output|total)|the second": 1,
        "[the] (third|3 rd) (result|answer|value|output|total)|the third": 2,
    }
)
BOTH_RESULTS = phrase_set(["(both|the two|these|these two|the) (results|answers|values|totals)"])

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
    "billion quarter quarters third thirds doubled tripled halved"
)

#: Numbers said in the plural after another one: "nine fives".
PLURALS = {
    "twos": "2", "threes": "3", "fours": "4", "fives": "5", "sixes": "6", "sevens": "7",
    "eights": "8", "nines": "9", "tens": "10", "elevens": "11", "twelves": "12",
}  # fmt: skip

#: What leads to the number in "to the fifth power", "raised to the 10th".
TO_THE = phrase_set(["[<is>] [raised] to the [power of the]"], CLASSES)

#: What stands before a number and says nothing about its value.
NUMBER_FRONTS = phrase_set(["$", "[the] (number|numbers|value|figure|amount of|amount)"])
#: The same after it.
MONEY_AFTER = frozenset({"dollars", "dollar", "bucks"})

#: Asking for the value again, as a sentence of its own before or after the calculation.
ECHO_LINES = [
    "(and|so|then) [,]",
    "what (is|was|'s|s) [it|that|this|the (answer|result|total|sum|value)] [be|equal|then]",
    "(what's|whats) (it|that|this|the (answer|result|total|sum|value|outcome)) [equal|now]",
    "(what|how much) (does|do|will|would|should|did|is|are) (that|it|this|they|i|we|you|those) "
    "[then] (be|make|equal|give|get|come to|have|come out to|add up to|give me|total|leave)",
    "what (do|will|would|should|did) (i|we|you) [then] (get|have) [left] [now|then]",
    "how much (is|is it|is that|does that make|remains|is left)|how many (are|is) left",
    "what (remains|is left|'s left|results)|what's left|what's the (answer|result|total) to that",
    "(tell|give) me [the] (answer|result|total|value|solution|sum)",
    "(what's|whats|what) (it|that|this|does (it|that|this)|do they) "
    "(make|come to|give|get|equal|be|total)",
    "(give|tell) me the (bad|good) news|hit me|tell me nuh",
    "tell me|i need [to know] [the] (answer|result|total)|let me know",
    "[i] (forget|forgot|always forget|can't remember|don't remember|don't know|have no idea)",
    "[can|could|would|will] (you|u) (check|verify|confirm|look) [it|that] [for me]",
    "(check|verify|confirm) [it|that] [for me]|is it [there]|is it there",
    "do (you|u) know|any (idea|ideas)|what do you (think|say)|(am i|is that) right",
]
ECHOES = phrase_set(ECHO_LINES)

# Words around a calculation that change nothing about its value.
#
# A closed class, and what keeps other requests out: "5 plus 3 tickets" is no arithmetic for us,
# because "tickets" is not here. Units, currencies, times, dates and things must never be added.


#: Single words before an expression, in any order.
_ANYWHERE = (INTERJECTIONS | FRIENDS | ADVERBS) - {"my"}  # "my number is 555-1234"
WORDS_BEFORE = _ANYWHERE | word_set(
    """
    what whats what's what`s what'll what're which what'd how how's much many is are was were be
    been am do does did will would should could can may might 's s i i'm im i'd i've i'll you
    you're u we us me your it it's that that's this these those there's here's here a an the any
    some of for to when if whenever once after suppose supposing say with and tell show give
    figure find out work calculate calculating compute computing evaluate solve solving
    determine resolve get got getting have has had having see hear need want like love wanna
    gonna know knowing wonder wondering curious ask asking answer return print display output
    provide supply explain check calc tally perform run doing try trying put make process happen
    result total value outcome amount solution answers number numbers equation expression
    problem question sum difference product quotient operation calculation calculations
    calculator math maths mathematics arithmetic quick quickly fast easy simple basic little
    small hard tough real really exact exactly correct right final following next other another
    new please pls plz kindly just only so then now well ok okay hey hi hello there also again
    remind help let let's lets use using forget forgot forgotten remember recall keep can't
    sure about idea guess wish equal equals : , = ? ! come comes left remains
    remaining leftover take able anyone
    gimme becomes become gives teach makes ascertain establish deduce reveal state share furnish
    chuck throw toss sling spit fetch hit count counting yield yields produces crunch reckon sums
    enlighten simplify assist enquire inquire wonder lemme whats what've what'd whatcha wanting
    maybe kinda sorta stuck struggling brain brain's head gone mush fried dead blank bad terrible
    good any at working doing tot lay gonna wonderin figuring
    yer ur r no idea ain't forgetting seem cannot hows how're settle verify confirm
    random hypothetically theoretically roughly like thing called we're they they'd
    pull bring speak say saying talk through spare sec moment got i've curiosity
    bother trouble need needing required require requires require want wants wanted
    """
)

#: Single words after an expression, in any order.
WORDS_AFTER = _ANYWHERE | word_set(
    """
    equal equals equalling to is are was be make makes made come comes out up work works give
    gives get gets got have has had total in all altogether together what whats what's how much
    many which do does did will would should could can i you u we me us it that that's this
    these it's the a answer result value number sum solution if when then now right again
    exactly please pls plz thanks thank for ? ! . , : = ok okay tell know need want wonder
    wondering find figure calculate compute forget forgot remember like so and my leave leaves
    left remain remains remaining end also just really quick quickly today totals totaling alexa
    siri google assistant
    """
)
AFTER_LINES = [
    "(in|for) [my|a|the] (math|maths|homework|class|numbers|figures|digits)",
    "going to be|gonna be|going to equal",
    "or (not|what|nah|something|whatever|no)|if you (can|could|would|don't mind|please|know|"
    "will)|(out of curiosity|just curious|for me|for us|real quick|right quick|off the top of "
    "your head|in your head|at once|as well|to be exact|by any chance|(work|come|add|figure) "
    "(out|up) (to|as|at))|(would|will|could|can) (you|ya|u) [please|kindly]|and thanks|"
    "(before|in case|lest) i forget|(as|when) (soon as|you) [you] can|(any|an) (idea|clue)|"
    "(how much|what) (ah|is it|is that|would it be|does it make|do i get|be it)|what's (it|"
    "that) (make|come to|give|equal|get|be|total)|(work|works) out [to|as|at]",
    "as a (number|decimal)|(on|with|using|through) [the|your|my|a] calculator|add up [to]",
]
_AFTER_PHRASES = phrase_set(AFTER_LINES)
BEFORE_LINES = [
    "(i|we) [really|just|still] (don't|do not|never) [quite] (know|remember|recall|get|have)|"
    "(don't|do not) (know|remember|recall)|(why|if) (don't you|you don't mind)|"
    "[really] not [quite|too|so|at all] (sure|certain|good|clear)|never [been] [any] good",
    "my (brain|brain's|head|head's|memory|mind|mind's|math|maths)",
    "(get|obtain|find|gotten|calculated|made|result) (by|from)|got from|in your head|"
    "(on|off) the top of your head|out of curiosity|by any chance|for me|at all",
    "one (for|more) you|my (math|maths|homework|calculation|equation|problem|question|sum|total)",
    "(run|crunch) the numbers [on|for]|do the (math|maths|arithmetic|calculation) (on|for|of)",
    "on (the|this|that)|in (math|maths|arithmetic)",
    "can you do (some|a little|a bit of|a quick bit of) (math|maths|arithmetic) [for me]",
    "(two|both|three) numbers",
    "add (up|this|these|the following) [numbers] :",
]
_BEFORE_PHRASES = phrase_set(BEFORE_LINES)

#: Questions for something else a value: "is 5 more 3", "when is 10 - 12".
OTHER_QUESTIONS = phrase_set(["is|are|was|were|does|did|when (is|are|was|does|do|will)"])

#: Names of results that hold only for one operation, with its sign.
CONSISTENT = {"difference": "-", "product": "*", "quotient": "/"}


def skip_talk(words: Sequence[str], at: int, end: int) -> int | None:
    """Where the talk that begins at `at` ends, one step at a time; None when there is none."""
    found = _BEFORE_PHRASES.longest(words, at, end) or LEADS.longest(words, at, end)
    if found is not None:
        return found[0]
    return at + 1 if words[at] in WORDS_BEFORE else None


def is_talk_after(words: Sequence[str], at: int, end: int) -> bool:
    """Whether nothing but talk stands from `at` to `end`."""
    return is_only(words, at, end, _AFTER_PHRASES, WORDS_AFTER)
