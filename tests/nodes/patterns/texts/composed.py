"""A grammar of prompts: parts whose meaning is known, and what the prompts composed of them mean.

A part is a request, an enumeration, a calculation or something that has to be refused. Parts are
joined by connectors and lines, and politeness stands around them. What a whole means follows from
its parts: their steps in order, or a refusal as soon as one of them is to be refused.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from hypothesis import strategies as st

from benchmarks.planner.own_prompts import own_prompts

#: Stands for the number of the step before, which is known once the parts are in order.
_BEFORE = "\N{SYMBOL FOR RECORD SEPARATOR}"


@dataclass(frozen=True)
class Part:
    """Some words and the plans that are right for them, in short form; none: a refusal is.

    `ends` says what may follow: a `closed` part takes anything, an `open` one goes on to the next
    request and takes no word of politeness behind it, after a `literal` one a new line must come,
    and a `line` is a line of its own.
    """

    text: str
    plans: tuple[str, ...] = ()
    ends: str = "closed"


def quoted(text: str) -> str:
    """A text that someone typed, as a plan holds it: its braces are no references."""
    return json.dumps(text.replace("{", "{{").replace("}", "}}"), ensure_ascii=False)


def one_of(*texts: str) -> st.SearchStrategy[str]:
    """One of the words that stand between bars."""
    return st.sampled_from([each.strip() for text in texts for each in text.split("|")])


# The words of to-dos: nothing in them means anything to the planner.

THINGS = one_of(
    "hoe|rake|spade|soap|towels|gravel|rope|candles|stamps|Zebra|Käse|İzmir|🎂|oregano",
    "tea lights|oat flakes|crème brûlée|salt and pepper|Tom and Jerry|6 eggs",
)
DEEDS = one_of(
    "water the ferns|ring Ida|oil the hinges|buy rope|pay the rent|wash and iron|mend the gate",
    "fetch 3 crates|meet Dr. Low at 7.15|don't be late|ask Bo to please wait",
)
KEPT = one_of(
    ".env|.gitignore cleanup|-5 degrees check|--force flag|../a.txt|./b/c.md|~/bin|v1.0",
    "https://example.org/a?b=c&d=e|http://localhost:8000/then/and|ida@example.org",
    "C++ course|#42 review|a{b}|(maybe) paint|50% off socks",
)
COMMANDS = one_of(
    "show my list|delete todo 1|mark everything as done|2 + 2|thanks|hello",
    "boil eggs, then peel them|buy 3 things: eggs, milk, tea|check task list",
)
PLACES = st.integers(1, 30)

OPEN_ADDITIONS = one_of(
    "add todo {}|add a todo: {}|todo: {}|new task: {}|create a to-do called {}|add a task: {}"
)
DEED_ADDITIONS = one_of("add a todo to {}|create a task to {}|remind me to {}|add a task to {}")
CLOSED_ADDITIONS = one_of(
    'add {} to my list|put {} on my to-do list|add {} to my todos|add "{}" to my list'
)


def addition(frame: str, item: str, ends: str) -> Part:
    return Part(frame.format(item), (f"add {quoted(item)}",), ends)


additions = st.one_of(
    st.builds(addition, OPEN_ADDITIONS, THINGS | DEEDS, st.just("open")),
    st.builds(addition, DEED_ADDITIONS, DEEDS, st.just("open")),
    st.builds(addition, CLOSED_ADDITIONS, THINGS | KEPT, st.just("closed")),
    st.builds(addition, OPEN_ADDITIONS, KEPT, st.just("literal")),
    st.builds(addition, st.sampled_from(["add a todo: {}", "todo: {}"]), COMMANDS,
              st.just("literal")),
)  # fmt: skip


# Asking for the list, and changing it.

lists = st.sampled_from(
    [
        Part("show my list", ("list",)),
        Part("list my tasks", ("list",)),
        Part("what's on my to-do list", ("list",)),
        Part("show my open todos", ("list open",)),
        Part("show my completed tasks", ("list completed",)),
        Part("show open and completed todos", ("list", "list open; list completed")),
        Part("how many todos do I have", ("list count",)),
        Part("count my todos", ("list count",)),
        Part("is soap on my list", ('list exists "soap"',)),
        Part("show me todo 4", ('get "4"',)),
    ]
)

CHANGES = {
    "complete": ["mark {} as done", "check off {}", "check {} off my list"],
    "delete": ["remove {} from my list", "take {} off my list"],
}
CHANGES_OF_PLACES = {
    "complete": ["complete todo {}", "mark todo {} as done", "mark #{} as done"],
    "delete": ["delete todo {}", "remove task {} from my list"],
}
CHANGES_OF_SEVERAL = {
    "complete": ["complete todos {}", "mark {} as done", "mark tasks {} as done"],
    "delete": ["delete todos {}", "remove todos {} from my list"],
}
CHANGES_OF_ALL = {
    "complete": ["mark everything as done", "complete all my todos", "mark all tasks as done"],
    "delete": ["delete all my todos", "clear my list", "remove everything from my list"],
}
operations = st.sampled_from(["complete", "delete"])


@st.composite
def changes(draw: st.DrawFn) -> Part:
    operation = draw(operations)
    match draw(st.sampled_from(["name", "place", "several", "first", "all"])):
        case "name":
            # "check off -5" and the like would be read with the verb.
            frame, name = draw(st.sampled_from(CHANGES[operation])), draw(THINGS)
            return Part(frame.format(name), (f"{operation} {quoted(name)}",))
        case "place":
            frame, place = draw(st.sampled_from(CHANGES_OF_PLACES[operation])), draw(PLACES)
            return Part(frame.format(place), (f'{operation} "{place}"',))
        case "several":
            frame = draw(st.sampled_from(CHANGES_OF_SEVERAL[operation]))
            places = draw(st.lists(PLACES.map(str), min_size=2, max_size=4, unique=True))
            said = f"{', '.join(places[:-1])} and {places[-1]}"
            return Part(frame.format(said), (f"{operation} {json.dumps(places)}",))
        case "first":
            verb = {"complete": "complete", "delete": "delete"}[operation]
            number, word = draw(st.sampled_from([(2, "two"), (3, "three"), (4, "four")]))
            places = [str(place) for place in range(1, number + 1)]
            return Part(f"{verb} the first {word} todos", (f"{operation} {json.dumps(places)}",))
        case _:
            return Part(draw(st.sampled_from(CHANGES_OF_ALL[operation])), (f"{operation} all",))


def rename(frame: str, old: str, new: str) -> Part:
    return Part(frame.format(old, new), (f"update {quoted(old)} to {quoted(new)}",), "open")


renames = st.one_of(
    st.builds(rename, st.just("rename {} to {}"), THINGS, DEEDS),
    st.builds(rename, st.sampled_from(["change todo {} to {}", "set task {} to {}"]),
              PLACES.map(str), DEEDS),
)  # fmt: skip


# Several items in one request; what follows them begins on a line of its own.


@st.composite
def enumerations(draw: st.DrawFn) -> Part:
    items = draw(st.lists(THINGS | DEEDS, min_size=2, max_size=5, unique=True))
    plans = ("; ".join(f"add {quoted(item)}" for item in items),)
    if draw(st.booleans()):
        mark = draw(st.sampled_from(["- ", "* ", "{}. ", "{}) ", "\N{BULLET} "]))
        opening = draw(st.sampled_from(["Add these to my list:", "todos:", "add these todos:"]))
        lines = [f"{mark.format(number)}{item}" for number, item in enumerate(items, 1)]
        return Part("\n".join([opening, *lines]), plans, "listed")
    quotes = [f'"{item}"' for item in items]
    frame = draw(st.sampled_from(["add {} to my list", "add {} as todos"]))
    return Part(frame.format(f"{', '.join(quotes[:-1])} and {quotes[-1]}"), plans)


# Calculations, with their value.

SIGNS = {"+": ["+", "plus"], "-": ["-", "minus"], "*": ["*", "times"], "/": ["/", "divided by"]}
_SPELLED = "two three four five six seven eight nine ten eleven twelve"
WORDS = dict(enumerate(_SPELLED.split(), 2))
numbers = st.integers(2, 12)


def applied(sign: str, left: Fraction, right: Fraction) -> Fraction:
    return {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "/": left / right if right else left,
    }[sign]


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Fraction]:
    """An operation or two between numbers, in signs or in words."""
    a, b, c = (Fraction(draw(numbers)) for _ in range(3))
    first, second = draw(st.sampled_from("+-*/")), draw(st.sampled_from("+-*/"))
    spelled = draw(st.booleans())
    one, two = (SIGNS[sign][spelled] for sign in (first, second))
    x, y, z = (WORDS[int(n)] if spelled and draw(st.booleans()) else str(n) for n in (a, b, c))
    if draw(st.booleans()):
        return f"{x} {one} {y}", applied(first, a, b)
    if second in "*/" and first in "+-":
        return f"{x} {one} {y} {two} {z}", applied(first, a, applied(second, b, c))
    return f"{x} {one} {y} {two} {z}", applied(second, applied(first, a, b), c)


@st.composite
def operations_in_words(draw: st.DrawFn) -> tuple[str, Fraction]:
    """What is said with nouns: side by side, before a sign, as a share, as a mixed number."""
    a, b, c, d = (draw(numbers) for _ in range(4))
    h = min(a, 9)  # hundreds
    percent = draw(st.sampled_from([5, 10, 15, 25, 50]))
    return draw(
        st.sampled_from(
            [
                (f"the square of {a} plus the square of {b}", Fraction(a**2 + b**2)),
                (f"the square of {a} minus the cube of {b}", Fraction(a**2 - b**3)),
                (f"half of {a} plus half of {b}", Fraction(a + b, 2)),
                (f"double {a} plus double {b}", Fraction(2 * (a + b))),
                (f"the sum of {a} and {b} plus the sum of {c} and {d}", Fraction(a + b + c + d)),
                (f"the product of {a} and {b} minus the product of {c} and {d}",
                 Fraction(a * b - c * d)),
                (f"the square root of {a**2} plus the square root of {b**2}", Fraction(a + b)),
                (f"{a} plus half of {b}", a + Fraction(b, 2)),
                (f"the square of minus {WORDS[a]}", Fraction(a**2)),
                (f"the cube root of {a**3}", Fraction(a)),
                (f"{percent}% of {a}", Fraction(a * percent, 100)),
                (f"{a} + {percent}%", a * Fraction(100 + percent, 100)),
                (f"{a} and 1/{b} plus {c}", a + Fraction(1, b) + c),
                (f"{a} 1/{b} + {c}", a + Fraction(1, b) + c),
                (f"{a} plus {b} and 3/4", a + b + Fraction(3, 4)),
                (f"{WORDS[a]} and a half times {b}", (a + Fraction(1, 2)) * b),
                (f"{WORDS[a]} million and a half plus 1", Fraction(a * 10**6 + 500_001)),
                (f"{WORDS[h]} hundred and three tenths plus 1", h * 100 + Fraction(13, 10)),
                (f"{h} hundred and {b} plus {c}", Fraction(h * 100 + b + c)),
                (f"{a} times the sum of {b} and {c}", Fraction(a * (b + c))),
            ]
        )
    )  # fmt: skip


def calculation(opening: str, found: tuple[str, Fraction]) -> Part:
    text, value = found
    return Part(f"{opening} {text}", (f"= {value}",))


calculations = st.builds(
    calculation,
    st.sampled_from(["what is", "what's", "calculate", "compute", "how much is"]),
    expressions() | operations_in_words(),
)


def with_result(part: Part, rest: str, text: str, ends: str) -> Part:
    return Part(f"{part.text}{rest}", (f'{part.plans[0]}; add "{text}"',), ends)


RESULT = f"{{step_{_BEFORE}_output}}"
referring = st.builds(
    lambda part, ending: with_result(part, *ending),
    calculations,
    st.sampled_from(
        [
            (" and add the result to my list", RESULT, "closed"),
            (", then add it to my list", RESULT, "closed"),
            (" and add a todo with the result", RESULT, "open"),
            (" and add a todo to pay that amount", f"pay {RESULT}", "open"),
            (" and add a todo to pay it", f"pay {RESULT}", "open"),
            (" and add a todo called answer", "answer", "open"),
            (" and add a task named total", "total", "open"),
        ]
    ),
)

# What has to be refused, wherever it stands.

#: Kinds of our own prompts that mean something else beside another request.
_REFERRING = {"it", "that", "result", "results", "answer"}
_IN_CONTEXT = ("references", "lists of items", "counts that do", "politeness", "out of reach by")

OWN = [
    prompt
    for prompt in own_prompts()
    if not prompt.kind.startswith((*_IN_CONTEXT, "own phrases", "line breaks"))
    and prompt.text[0].isalnum()
    and not set(prompt.text) & set("\n;")
    and not set(prompt.text.lower().split()) & _REFERRING
]
OWN_REFUSED = [
    prompt.text
    for prompt in OWN
    # A piece of arithmetic goes on with the result before it: "subtract ten".
    if prompt.told == "refused" and not prompt.kind.startswith("arithmetic")
]
OWN_LINES = [
    Part(prompt.text, tuple(prompt.told.split(" | ")), "line")
    for prompt in OWN
    if "refused" not in prompt.told and "= error" not in prompt.told and "step_" not in prompt.told
]
WHEN = st.sampled_from(["tomorrow", "from yesterday", "due on Friday", "of last week", "for Ida"])
refused = st.one_of(
    st.builds("{} {} todo {}?".format,
              st.sampled_from(["can I", "may I", "could I", "should I", "shall I", "how do I"]),
              st.sampled_from(["delete", "complete"]), PLACES),
    st.builds("{} {}".format, st.sampled_from(["show my todos", "list my tasks"]), WHEN),
    st.builds("show my {} {}".format, st.sampled_from(["first three", "urgent", "work", "oldest"]),
              st.sampled_from(["todos", "tasks"])),
    st.builds("show my list and {}".format, st.sampled_from(["say hello", "sing", "email Bo"])),
    st.builds("delete all my todos {}".format, WHEN),
    st.builds("{} the last {}".format, st.sampled_from(["delete", "complete"]),
              st.sampled_from(["todos", "tasks"])),
    st.builds("add {} {} to my list".format, st.sampled_from(["three", "5", "some"]),
              st.sampled_from(["items", "things"])),
    st.builds("{}-{}-{}".format, st.integers(1900, 2100), st.integers(10, 12), st.integers(10, 28)),
    st.builds("555-{}-{}".format, st.integers(100, 999), st.integers(1000, 9999)),
    st.builds("what is the square root of minus {}".format, numbers),
    st.builds("don't {} todo {}".format, st.sampled_from(["delete", "complete"]), PLACES),
    st.sampled_from(OWN_REFUSED),
).map(Part)  # fmt: skip

# The whole.

GREETINGS = st.sampled_from(["", "", "hey, ", "okay, ", "Hello! "])
OPENINGS = GREETINGS | st.sampled_from(["please ", "could you please ", "can you "])
VERBS = ("add ", "show ", "list ", "put ", "mark ", "delete ", "complete ", "remove ", "rename ")
CLOSINGS = st.sampled_from(["", "", " please", ", thanks", " please!", ", thank you"])
CONNECTORS = {
    "closed": [", then ", " and then ", "; ", "\n", ". ", "\n\n", " and ", ". Then ", "; then "],
    "open": [", then ", " and then ", "\n", ". Then ", "\n\n", "; "],
    "literal": ["\n", "\n\n"],
    "listed": ["\n\n"],
}
MARKS = st.sampled_from(["", "- ", "* ", "{}. ", "{}) "])
requests = st.one_of(
    additions, lists, changes(), renames, calculations, referring, st.sampled_from(OWN_LINES)
)


@st.composite
def composed(draw: st.DrawFn) -> tuple[str, str]:
    """A prompt and, in short form, the plans that are right for it."""
    parts = draw(st.lists(requests | enumerations(), min_size=1, max_size=4))
    if draw(st.integers(0, 3)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), draw(refused))
    text = draw(OPENINGS if parts[0].text.startswith(VERBS) else GREETINGS)
    for before, part in zip([None, *parts], parts, strict=False):
        text += joined(draw, before, part) + part.text
    if parts[-1].ends == "closed" and not parts[-1].text.endswith("?"):
        text += draw(CLOSINGS)
    return text, meaning(parts)


def joined(draw: st.DrawFn, before: Part | None, part: Part) -> str:
    """What stands between two parts. Only a line parts a request from what is none of ours."""
    if before is None:
        return ""
    if not (before.plans and part.plans) or "\n" in part.text or "line" in (before.ends, part.ends):
        return draw(st.sampled_from(["\n\n", "\n"])) if before.ends != "listed" else "\n\n"
    return draw(st.sampled_from(CONNECTORS[before.ends]))


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, str]:
    """Up to 30 lines, each a request, with or without marks before them."""
    parts = draw(st.lists(requests, min_size=2, max_size=30))
    if draw(st.integers(0, 5)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), draw(refused))
    mark = draw(MARKS)
    text = "\n".join(f"{mark.format(at)}{part.text}" for at, part in enumerate(parts, 1))
    return text, meaning(parts)


def meaning(parts: list[Part]) -> str:
    """The plans for all parts in order; asking for the list twice running may be asking once."""
    if not all(part.plans for part in parts):
        return "refused"
    wholes = []
    for plans in product(*(part.plans for part in parts)):
        steps = "; ".join(plans).split("; ")
        once = [
            step for at, step in enumerate(steps) if at == 0 or not step == steps[at - 1] == "list"
        ]
        wholes += [steps, once] if once != steps else [steps]
    return " | ".join(
        "; ".join(step.replace(_BEFORE, str(at)) for at, step in enumerate(steps))
        for steps in wholes
    )


prompts = st.one_of(composed(), composed(), lines())
