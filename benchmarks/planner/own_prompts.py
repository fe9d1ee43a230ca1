r"""Our own prompts, each with the plan or the refusal that is right, and how they are scored.

A file of `prompts/` has a kind in brackets and below it one prompt a line:

    [bulk]
    clear my list => delete all

The right side is what `plans` calls short form. `faults.txt` adds the plan that was once made and
must not be: `can I delete todo 1? => refused =/= delete "1"`. In a prompt `\n`, `\t`, `\\` and
`\u200b` stand for the character. A line that begins with `#` is a comment, and `\#` begins a
prompt.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.planner.plans import Expected, Verdict, read_plans, short_form
from graph.state import Step
from nodes.patterns.planner import PatternPlanner
from tools.loading import BUILTIN
from tools.registry import make_tools, tool
from tools.toolbox import Tool

PROMPTS = Path(__file__).parent / "prompts"
FAULTS = Path(__file__).parent / "faults.txt"

#: The share of prompts with a plan expected that may be refused; wrong may be none.
MOST_REFUSED = 0.02

_ESCAPE = re.compile(r"\\(?:n|t|\\|#|u[0-9a-fA-F]{4})")
_CHARACTERS = {"\\n": "\n", "\\t": "\t", "\\\\": "\\", "\\#": "#"}


@dataclass(frozen=True)
class OwnPrompt:
    """A prompt with its kind and what is expected; of a fault also the plan it must not become."""

    kind: str
    text: str
    expected: Expected
    told: str
    fault: Expected | None = None


@dataclass(frozen=True)
class Judged:
    """A prompt with the plan that was made of it, in short form, and what that is worth."""

    prompt: OwnPrompt
    verdict: Verdict
    made: str

    def __str__(self) -> str:
        return f"[{self.prompt.kind}] {self.prompt.text!r} => {self.made}, not {self.prompt.told}"


@tool("read_file", effects=False, phrases=["read file {path}"])
def read_file(path: str) -> str:
    """Say which file was asked for: in a phrase, what was typed counts to the letter."""
    return path


@tool("notes.send", phrases=["send {text} to {person}", "send a note to {person}"])
def send(person: str, text: str = "") -> str:
    """Say what was sent to whom: of two phrases that fit, the more specific one is meant."""
    return f"{person}: {text}"


@tool("wait", effects=False, phrases=["wait {seconds} seconds"])
def wait(seconds: float) -> float:
    """Say how long: a parameter that is a number."""
    return seconds


OWN_TOOLS: tuple[Tool, ...] = (read_file, send, wait)


def own_prompts() -> list[OwnPrompt]:
    """All prompts of the project, in the order of their files."""
    return [prompt for file in sorted(PROMPTS.glob("*.txt")) for prompt in _prompts(file)]


def faults() -> list[OwnPrompt]:
    """The prompts of which a plan was made that nobody had asked for."""
    return list(_prompts(FAULTS))


def judged(prompts: Iterable[OwnPrompt]) -> list[Judged]:
    """What is planned for each prompt, and whether it is right."""
    planners = {
        own: PatternPlanner(make_tools([*BUILTIN, *(OWN_TOOLS if own else ())]))
        for own in (False, True)
    }
    return [
        judge(prompt, planners[prompt.kind.startswith("own phrases")].read(prompt.text).steps)
        for prompt in prompts
    ]


def judge(prompt: OwnPrompt, steps: Sequence[Step]) -> Judged:
    """What these steps are worth for a prompt."""
    return Judged(prompt, prompt.expected.verdict(steps), short_form(steps))


def share_refused(results: Sequence[Judged]) -> float:
    """The share refused of the prompts with a plan expected."""
    planned = [each for each in results if () not in each.prompt.expected.plans]
    refused = sum(each.verdict == Verdict.REFUSED for each in planned)
    return refused / len(planned) if planned else 0.0


def table(results: Sequence[Judged]) -> list[str]:
    """The counts of each kind and of all, as lines."""
    width = max(len(each.prompt.kind) for each in results) + 2
    lines = [f"{'kind':{width}}{'rows':>6}" + "".join(f"{verdict:>16}" for verdict in Verdict)]
    kinds = list(dict.fromkeys(each.prompt.kind for each in results))
    for name in [*kinds, "all"]:
        found = Counter(each.verdict for each in results if name in (each.prompt.kind, "all"))
        counts = "".join(f"{found[verdict]:>16}" for verdict in Verdict)
        lines.append(f"{name:{width}}{found.total():>6}{counts}")
    return lines


def _prompts(file: Path) -> Iterator[OwnPrompt]:
    kind = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("[") and line.endswith("]"):
            kind = line[1:-1]
        elif line and not line.startswith("#"):
            try:
                yield _prompt(kind, line)
            except ValueError as error:
                raise ValueError(f"{file.name}, line {number}: {error}") from error


def _prompt(kind: str, line: str) -> OwnPrompt:
    text, arrow, told = line.rpartition(" => ")
    if not arrow:
        raise ValueError("a prompt wants ' => ' and what is expected")
    told, _, fault = told.partition(" =/= ")
    return OwnPrompt(
        kind,
        _ESCAPE.sub(_character, text),
        read_plans(told),
        told,
        read_plans(fault) if fault else None,
    )


def _character(found: re.Match[str]) -> str:
    written = found[0]
    return _CHARACTERS.get(written) or chr(int(written[2:], 16))
