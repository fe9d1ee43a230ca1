"""Single-turn tasks of `bfcl-eval`: a request, some functions, the calls that are right.

The functions are described only and do nothing; their checker compares the calls with those that
may be made, argument by argument.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.agent.tasks import DATA, Call, as_json_schema, read_lines

#: Kinds of tasks: one function that is called once, one of some functions that is called once, one
#: that is called several times.
KINDS = ("simple_python", "multiple", "parallel")

_WHO = "runwright"


def _checker() -> Any:
    """Their checker; the table of models that it looks into would import a client of each."""
    table = ModuleType("bfcl_eval.constants.model_config")
    # Names of functions have an underscore where their documentation has a dot, as for OpenAI.
    vars(table)["MODEL_CONFIG_MAPPING"] = {_WHO: SimpleNamespace(underscore_to_dot=True)}
    sys.modules.setdefault(table.__name__, table)
    from bfcl_eval.eval_checker.ast_eval import ast_checker

    return ast_checker.ast_checker


@dataclass(frozen=True)
class Function:
    """A function as a tool: its name, what it does, the JSON Schema of its input."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Single:
    """A task of one request."""

    name: str
    kind: str
    prompt: str
    functions: Sequence[Function]
    entry: Mapping[str, Any]
    truth: Sequence[Mapping[str, Any]]

    def fault(self, calls: Sequence[Call]) -> str | None:
        """What their checker says against these calls, in any order; None where they are right."""
        from bfcl_eval.constants.enums import Language

        made = [{call.tool: dict(call.arguments)} for call in calls]
        try:
            verdict = _checker()(
                *(self.entry["function"], made, list(self.truth), Language.PYTHON),
                *(self.kind, _WHO),
            )
        except Exception as error:
            # It compares values of types that it has not looked at, an argument inside a list say.
            return f"{type(error).__name__}: {error}"
        return None if verdict["valid"] else f"{verdict['error']}"


def read_singles(count: int) -> list[Single]:
    """So many tasks, of each kind as many and spread over its file, the kinds in turn.

    No two have a function of the same name, so that one server can have all of them: where one
    would, the next in the file takes its place.
    """
    names: set[str] = set()
    chosen = [_spread(kind, -(-count // len(KINDS)), names) for kind in KINDS]
    return [task for tasks in zip(*chosen, strict=True) for task in tasks][:count]


def _spread(kind: str, count: int, names: set[str]) -> list[Single]:
    file = f"BFCL_v4_{kind}.json"
    truths = {one["id"]: one["ground_truth"] for one in read_lines(DATA / "possible_answer" / file)}
    entries = read_lines(DATA / file)
    tasks: list[Single] = []
    for place, entry in enumerate(entries):
        if len(tasks) == count or place < len(entries) * len(tasks) // count:
            continue
        functions = [_function(one) for one in entry["function"]]
        own = {one.name for one in functions}
        if own & names or len(own) < len(functions):
            continue
        names |= own
        [[message]] = entry["question"]
        tasks.append(
            Single(entry["id"], kind, message["content"], functions, entry, truths[entry["id"]])
        )
    return tasks


def _function(described: Mapping[str, Any]) -> Function:
    name = described["name"].replace(".", "_")
    return Function(name, described["description"], as_json_schema(described["parameters"]))
