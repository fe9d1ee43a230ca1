"""The tasks, their tools and their checker, as `bfcl-eval` has them in `.venv/bfcl`."""

import ast
import copy
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import HERE

# Last on the path: pip and the like in there hide nothing of ours.
_PLACES = [str(place) for place in (HERE / ".venv" / "bfcl" / "lib").glob("python*/site-packages")]
if not _PLACES:
    sys.exit("bfcl-eval is not installed: run `make bench-agent`")
sys.path += _PLACES

import bfcl_eval  # noqa: E402 - found on the path that was just made
from bfcl_eval.constants.executable_backend_config import (  # noqa: E402
    CLASS_FILE_PATH_MAPPING,
    MULTI_TURN_FUNC_DOC_FILE_MAPPING,
)
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import (  # noqa: E402
    multi_turn_checker,
)

DATA = Path(bfcl_eval.__file__).parent / "data"
SUITE = "BFCL_v4_multi_turn_base.json"

#: The eight classes whose tools the tasks use.
CLASSES = (
    "GorillaFileSystem",
    "MathAPI",
    "MessageAPI",
    "TicketAPI",
    "TradingBot",
    "TravelAPI",
    "TwitterAPI",
    "VehicleControlAPI",
)

#: What JSON Schema calls the types of the documentation.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}

#: Beginnings of the names of tools that change nothing, but for those of MathAPI, which never do.
_READS = (
    *("cat", "check_", "compute_", "diff", "display", "du", "estimate_", "filter_", "find"),
    *("gallon_", "get_", "grep", "list_", "liter_", "ls", "pwd", "retrieve_", "search_", "sort"),
    *("tail", "verify_", "view_", "wc"),
)

#: The answer of task 173 closes the ticket "ticket_001", though the documentation says integer. The
#: tool takes any id, so it is told so.
_ALSO_TEXT = {("close_ticket", "ticket_id")}


@dataclass(frozen=True)
class Call:
    """One call of a tool, all its arguments by name."""

    tool: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        """As the checker evaluates it."""
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.tool}({given})"


@dataclass(frozen=True)
class Documented:
    """A tool: which class has it, what it does, the JSON Schema of its input."""

    of: str
    description: str
    schema: dict[str, Any]

    def reads(self, name: str) -> bool:
        """Whether a call changes nothing that the checker compares."""
        return self.of == "MathAPI" or name.startswith(_READS) or "_get_" in name


@dataclass(frozen=True)
class Task:
    """Turns of one user, each with the calls that its answer makes."""

    name: str
    prompts: Sequence[str]
    calls: Sequence[Sequence[Call]]
    classes: Sequence[str]
    entry: Mapping[str, Any]
    truth: Sequence[Sequence[str]]

    def made(self) -> dict[str, Any]:
        """New instances of its classes, in the state that it begins with."""
        return instances(self.classes, self.entry["initial_config"])

    def fault(self, calls: Sequence[Sequence[Call]]) -> str | None:
        """What their checker says against these calls, turn by turn; None where they solve it."""
        decoded = [[[str(call) for call in turn]] if turn else [] for turn in calls]
        _fresh_checker()
        verdict = multi_turn_checker(
            decoded, list(map(list, self.truth)), dict(self.entry), "multi_turn_base", "runwright"
        )
        if not verdict["valid"]:
            return str(verdict["error_message"])
        # A turn that cannot be done is one where nothing is to be called; their runner does not
        # look at that.
        for number, (turn, truth) in enumerate(zip(calls, self.truth, strict=True)):
            if turn and not truth:
                return f"turn {number} calls a tool, though nothing is to be called"
        return None


def instances(classes: Sequence[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """An object of each class, loaded with its part of the configuration."""
    made = {}
    for name in classes:
        made[name] = getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[name]), name)()
        if name != "MathAPI":
            made[name]._load_scenario(copy.deepcopy(config.get(name, {})), long_context=False)
    return made


def act(made: Mapping[str, Any], call: Call, tools: Mapping[str, Documented]) -> tuple[Any, bool]:
    """What a call returns, as JSON data, and whether it has failed."""
    try:
        value = getattr(made[tools[call.tool].of], call.tool)(**copy.deepcopy(call.arguments))
    except Exception as error:
        return f"{type(error).__name__}: {error}", True
    if isinstance(value, dict):
        return json.loads(json.dumps(value, default=str)), "error" in value
    return str(value), False


def read_tools() -> dict[str, Documented]:
    """The tools of all eight classes, by name; none has the name of another."""
    tools = {}
    for name in CLASSES:
        file = DATA / "multi_turn_func_doc" / MULTI_TURN_FUNC_DOC_FILE_MAPPING[name]
        for line in file.read_text().splitlines():
            one = json.loads(line)
            schema = as_json_schema(one["parameters"])
            for tool, argument in _ALSO_TEXT:
                if tool == one["name"]:
                    schema["properties"][argument]["type"] = ["integer", "string"]
            tools[one["name"]] = Documented(name, one["description"], schema)
    return tools


def read_tasks(tools: Mapping[str, Documented]) -> list[Task]:
    """All tasks with their answers."""
    answers = read_lines(DATA / "possible_answer" / SUITE)
    truths = {one["id"]: one["ground_truth"] for one in answers}
    return [
        Task(
            name=entry["id"],
            prompts=[turn[0]["content"] for turn in entry["question"]],
            calls=[[_parsed(text, tools) for text in turn] for turn in truths[entry["id"]]],
            classes=entry["involved_classes"],
            entry=entry,
            truth=truths[entry["id"]],
        )
        for entry in read_lines(DATA / SUITE)
    ]


def read_lines(file: Path) -> list[Any]:
    """A file of theirs, a value a line."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def as_json_schema(part: Mapping[str, Any]) -> dict[str, Any]:
    """What their documentation says of an input, as JSON Schema."""
    schema = dict(part)
    schema["type"] = _TYPES.get(part["type"], part["type"])
    if "properties" in part:
        schema["properties"] = {
            name: as_json_schema(one) for name, one in part["properties"].items()
        }
    if "items" in part:
        schema["items"] = as_json_schema(part["items"])
    return schema


def _parsed(text: str, tools: Mapping[str, Documented]) -> Call:
    """A call as the answers write it; what has no name gets that of its place."""
    expression = ast.parse(text, mode="eval").body
    assert isinstance(expression, ast.Call), text
    assert isinstance(expression.func, ast.Name), text
    tool = expression.func.id
    places = list(tools[tool].schema["properties"])
    given = dict(zip(places, map(ast.literal_eval, expression.args), strict=False))
    given |= {one.arg: ast.literal_eval(one.value) for one in expression.keywords if one.arg}
    return Call(tool, given)


def _fresh_checker() -> None:
    """Forget the instances of earlier checks, which their executor keeps among its globals."""
    module = importlib.import_module("bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils")
    for name in [one for one in vars(module) if one.endswith("_instance")]:
        delattr(module, name)
