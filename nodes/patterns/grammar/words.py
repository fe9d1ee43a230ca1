"""The words of a prompt: lower-cased for the tables, with their places in the original text.

A reader makes calls of tools of them, each with the words that ask for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nodes.patterns.grammar.phrases import word_set

#: Signs that only look different, each as the one the tables use.
_SAME = str.maketrans(
    {
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MULTIPLICATION X}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DOT OPERATOR}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{DIVISION SLASH}": "/",
    }
)
#: Characters without a width: joiners, marks of direction, a soft hyphen, a byte order mark.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_WORD = re.compile(
    r"""
      "[^"\n]+" | (?<!\w)'[^'\n]+'(?!\w)                                       # quoted
    | (?<!\w)(?:[a-z][a-z0-9+.-]{0,30}://|www\.)[^\s"]*[\w/=&#%]                   # an address
    | (?<![\w.])[\w.+-]{0,63}\w@[\w-]+(?:\.[\w-]+)+                               # of a mailbox
    | (?<!\S)(?:\.{1,2}/|~/|/)[^\s"]*[\w/]  | (?<![\w.])\.[^\W\d][\w.-]*\b    # a path, .env
    | \.{2,}\w*
    | (?<![\w.])[^\W\d]\w*(?:[./\\-]\w+){0,40}\.[^\W_]\w+\b                        # example.com
    | (?<!\w)0x[0-9a-f]+\b                                                    # other notations
    | (?<![\w.])[0-9]{1,4}(?:[/.][0-9]{1,2}[/.]|-[0-9]{2}-)[0-9]{1,4}(?![\w/-])
    | (?<![\w.])[0-9]{1,2}-[0-9]{1,2}-(?:19|20)[0-9]{2}(?![\w/-])  # a date
    | (?<!\w)[0-9]{3,5}(?:-[0-9]{3}-[0-9]{4}|\ [0-9]{3}-[0-9]{4})(?!\w)         # a telephone
    | (?<!\w)0[0-9]+(?:-[0-9]{2,})+(?:x[0-9]+)?(?!\w)
    | (?<!\w)[0-9]{1,2}:[0-9]{2}(?!\w) | (?<!\w)[0-9]+(?:\.[0-9]+){2,}(?!\w)      # time, version
    | (?!x[0-9])[^\W\d_]+[0-9]\w*(?:\.\w+)*                              # todo14
    | (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)e[+-]?[0-9]{1,3}(?!\w)
    | [0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?
    | [0-9]+(?:\.[0-9]+ | \.(?=\s*[-+*/^)]))? | \.[0-9]+
    | [^\W\d_]+(?:'[^\W\d_]+)*          # a word, also don't
    | (?<=[^\W\d_])-(?=[^\W\d_])        # the hyphen of to-do joins two words and is none itself
    | [\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+  # marks
    | \*\* | \n | [^\s]
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Words:
    """`words[i]` is what stands at `text[starts[i]:ends[i]]`; a quotation is one word."""

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]

    def source(self, start: int, end: int) -> str:
        """The original text of the words from `start` up to `end`."""
        return self.text[self.starts[start] : self.ends[end - 1]] if start < end else ""


def read_words(text: str) -> Words:
    """Split `text` into words, numbers, quotations, names and single signs.

    What is one name is one word, whatever signs it holds: an address, a path, a date, `.env`.
    """
    words: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    seen, places = (text, None) if text.isascii() else _visible(text)
    for match in _WORD.finditer(seen):
        word = match.group()
        start, end = match.span()
        if word == "-" and _joins(seen, start, end):
            continue
        words.append(word.lower())
        starts.append(start if places is None else places[start])
        ends.append(end if places is None else places[end - 1] + 1)
    return Words(text, words, starts, ends)


def _visible(text: str) -> tuple[str, list[int] | None]:
    """The text with signs as the tables use them and without what nobody sees, and its places."""
    text = text.translate(_SAME)
    if _UNSEEN.search(text) is None:
        return text, None
    places = [at for at, character in enumerate(text) if not _UNSEEN.match(character)]
    return "".join(text[at] for at in places), places


def _joins(text: str, start: int, end: int) -> bool:
    return start > 0 and end < len(text) and text[start - 1].isalpha() and text[end].isalpha()


#: Words with a full stop of their own; after these a name follows.
TITLES = word_set("mr mrs ms dr prof st vs no nr approx dept e.g i.e")
ABBREVIATIONS = TITLES | word_set(
    "ave vs etc no jr sr inc ltd co corp approx dept est tel ext e g i a p m"
)


def is_shortened(word: str) -> bool:
    """Whether a full stop after a word belongs to it: "Inc.", the "J." of a name, "v1.0."."""
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha()):
        return True
    return word[0].isalpha() and any(sign.isdigit() for sign in word)


# Slips of the keyboard in the planner's own words: "waht is 5 plsu 3", "add tea to my lsit".
#
# Used only where the exact reading fails. Words are read as corrected and kept as written: what a
# to-do says is taken from the text, so no correction ever gets into one.


#: The words that are worth correcting: those that requests hang on.
_KEYWORDS = """
    what whats what's which much many does list lists todo todos task tasks show check cross
    remove delete erase finish finished complete completed rename change update calculate
    compute plus minus times multiply multiplied divide divided subtract subtracted added
    equals percent squared please could today tomorrow remind three seven eight eleven
    twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty
    fifty sixty seventy eighty ninety hundred thousand million
"""
KEYWORDS = tuple(_KEYWORDS.split())

#: Slips that are too short, or too far off, to be found by their distance.
MISSPELLINGS = {
    "ad": "add",
    "adn": "and",
    "caluclate": "calculate",
    "hte": "the",
    "od": "do",
    "si": "is",
    "tdo": "todo",
    "teh": "the",
    "wat": "what",
    "wht": "what",
    "wut": "what",
}

#: English words one slip away from a keyword; these are meant as they stand.
REAL_WORDS = word_set(
    "across adder addled aided aight asks auch bask bight billion buch calculated calculates cask",
    "casks chance chang changed changer changes changi charge chat chats checks cheek chick chock",
    "chow chuck cold commute compete competed completes computed computer computes coulda couldn",
    "crass cress criss crocs crops crosse crows dany davide dees deleted deletes deplete dies "
    "dimes",
    "dist dividend divider divides divine docs dodo doer doers doesn dogs domes doms dons dose",
    "doses doss dots doves dross dues dyes ease eighth eights elven equal eras erased eraser "
    "erases",
    "even fifth fight finisher finishes finnish fist fists foes footy foray fort forte forth forts",
    "ghat ghats gist goes gould gross hats heck height hight hist hoes hundreds ight joes kross",
    "kuch last lasts lease lest leven lift lifts light limes lint linus lisa lise lisp liss liszt",
    "litt lost lust lusts mach macy mana mandy mane mang mani manly mann manny mano mans manu "
    "manus",
    "manx mary mask masks mech menus mich might mighty millions minas minds mines minis minos mins",
    "mints mist mists modo morty mould mucho muck mulch multiple multiplier multiplies munch mush",
    "nifty night nighty nist noes odes ouch ould padded pease phat pinus pius pleas pleased "
    "pleaser",
    "pleases plos plug plugs plum plums plush rask remand reminds remote removed remover removes",
    "renamed rewind right righty rimes ross sask seen semen seve sevens seventh sever severn shat",
    "shaw shew shoe shoo shop shot shou shown shows showy shree sight sinus sixth slow snow square",
    "squares steven stow such sven tack tacks taek talk talks tank tanks tash tass that thats thee",
    "there thirsty thousands threes threw tides ties tight tiles time timed timer timers tires "
    "toda",
    "todays todd toddy toes togo tomes tomo tomorrows topo toro toto toyo trask tree tusk tusks",
    "tweety tyree updated updates weight weighty wham wheat whet whit wich wight woes would zany",
    "zillion",
)

_SHORTEST, _LONGEST = 4, 12  # letters


def _shortened(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def _index() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for keyword in KEYWORDS:
        for key in _shortened(keyword):
            found.setdefault(key, []).append(keyword)
    return found


_KEYS = _index()
_KNOWN = frozenset(KEYWORDS) | REAL_WORDS


def correct(prompt: Words) -> Words | None:
    """The same prompt with slips in keywords read as meant, or None where there are none."""
    corrected = [MISSPELLINGS.get(word) or _keyword(word) or word for word in prompt.words]
    if corrected == prompt.words:
        return None
    return Words(prompt.text, corrected, prompt.starts, prompt.ends)


def _keyword(word: str) -> str | None:
    """The keyword that `word` is one letter too many, too few, wrong or swapped away from."""
    if not _SHORTEST <= len(word) <= _LONGEST or word in _KNOWN or not word.isalpha():
        return None
    near = {keyword for key in _shortened(word) for keyword in _KEYS.get(key, ())}
    slips = [keyword for keyword in KEYWORDS if keyword in near and _is_one_slip(word, keyword)]
    swapped = [keyword for keyword in slips if sorted(keyword) == sorted(word)]
    return next(iter(swapped + slips), None)


def _is_one_slip(word: str, keyword: str) -> bool:
    at = 0
    shorter = min(len(word), len(keyword))
    while at < shorter and word[at] == keyword[at]:
        at += 1
    left, right = word[at:], keyword[at:]
    swapped = left[:2] == right[1::-1] and left[2:] == right[2:]
    return swapped or left[1:] == right[1:] or left[1:] == right or left == right[1:]


# Calls of tools, as readers make them: not yet numbered.


CALCULATOR = "calculator"
STORE = "todo_store."


class Use(NamedTuple):
    """What the words from `start` to `end` of a prompt mean."""

    start: int
    end: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `start` and `end` are the words of the prompt that ask for it.

    `uses` says which of them mean what, where not all of them mean the request as a whole.
    """

    tool: str
    input: dict[str, Any]
    reasoning: str
    start: int
    end: int
    uses: tuple[Use, ...] = ()


def calculation(expression: str, start: int, end: int, used: tuple[int, int] | None = None) -> Call:
    """A call of the calculator, for words of which those in `used` are the expression."""
    uses = (Use(*used, "calculation"),) if used else ()
    return Call(CALCULATOR, {"expression": expression}, "asks for a value", start, end, uses)


def literal(text: str) -> str:
    """The user's own words as an input: braces would be read as references otherwise."""
    if "{" in text or "}" in text:
        return text.replace("{", "{{").replace("}", "}}")
    return text


def refers_before(calls: Sequence[Call]) -> bool:
    """Whether calls refer to what was there before the first step."""
    return any("{step_0_output" in str(call.input) for call in calls)
