"""Why the answer of a model is no plan, as the model is told so that it can mend it."""

import json
from collections.abc import Mapping
from typing import Any

from graph.state import DEFAULT_LIMITS
from nodes.planning.answer import AnswerRejected, read_answer
from nodes.planning.model import Completion
from tests.support.models.scripted_models import answer
from tests.support.wording.messages import masked
from tools.loading import BUILTIN
from tools.registry import make_tools

_TOOLS = make_tools(BUILTIN)

ADD = '{"steps": [{"reasoning": "add", "tool": "calculator", "input": {"expression": "2 + 2"}}]}'


def with_step(**fields: Any) -> str:
    """An answer of one step, `fields` set besides."""
    step = {"reasoning": "", "tool": "calculator", "input": {"expression": "1"}, **fields}
    return json.dumps({"steps": [step]})


#: Answers with one fault, by what it is.
ANSWERS: Mapping[str, str] = {
    "empty": "",
    "prose": "Sure! I would add them.",
    "prose.after": f"{ADD} Done.",
    "fences": f"```json\n{ADD}\n``` and ```more```",
    "open": ADD[:-1],
    "key-twice": '{"steps": [], "steps": []}',
    "nan": '{"steps": NaN}',
    "infinity": '{"steps": -Infinity}',
    "array": "[]",
    "null": "null",
    "steps.missing": "{}",
    "steps.object": '{"steps": {}}',
    "unknown": '{"steps": [], "note": 1}',
    "step.string": '{"steps": ["add"]}',
    "step.number": with_step(step=1),
    "step.tool": with_step(tool=7),
    "step.reasoning": with_step(reasoning=None),
    "step.input.string": with_step(input="1 + 1"),
    "step.input.null": with_step(input=None),
    "step.input.both": with_step(input_json="{}"),
    "step.input.compact": with_step(input=None, input_json="1 + 1"),
    "step.input.integer": with_step(input={"expression": 2**63}),
    "step.input.infinity": ('{"steps": [{"tool": "calculator", "input": {"expression": 1e999}}]}'),
    "step.input.large": with_step(input={"expression": "x" * 70_000}),
    "tool": with_step(tool="fly"),
    "input.missing": with_step(input={}),
    "input.unknown": with_step(input={"expression": "1", "digits": 2}),
    "input.choice": with_step(tool="todo_store.list", input={"status": "late"}),
    "reference.forward": with_step(input={"expression": "{step_1_output}"}),
    "reference.malformed": with_step(input={"expression": "{result}"}),
}


def messages() -> dict[str, str]:
    """The one reason against each of these answers."""
    nested: Any = 1
    for _ in range(150):
        nested = [nested]
    return {
        "cut": masked(_reason(Completion(ADD, "length")), end="length"),
        "deep": _reason(answer(with_step(input={"expression": nested}))),
        **{key: _reason(answer(text)) for key, text in ANSWERS.items()},
    }


def _reason(completion: Completion) -> str:
    try:
        read_answer(completion, _TOOLS, DEFAULT_LIMITS)
    except AnswerRejected as rejected:
        [reason] = rejected.reasons
        return reason
    raise AssertionError(completion)
