"""What is said about plans that wait for a person, and about plans that a person has edited."""

from collections.abc import Mapping
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from graph.build import RunGraph, build_graph
from graph.state import DEFAULT_LIMITS
from nodes.approval.questions import PlanUnfit, check_editable, read_plan
from tests.support.runs.channels import flat
from tests.support.runs.run_states import finished
from tests.support.wording.messages import masked, refusal
from tools.loading import BUILTIN
from tools.registry import make_tools

_TOOLS = make_tools(BUILTIN)
_CONFIG: Any = {"configurable": {"thread_id": "one"}}

#: Answers that decide nothing.
_ANSWERS: Mapping[str, object] = {
    "unclear": "yes",
    "unclear.what": {"reason": "no"},
    "unclear.word": {"what": "perhaps"},
    "unclear.field": {"what": "approved", "extra": 1},
}

#: Plans that nobody can have edited one into.
_PLANS: Mapping[str, object] = {
    "plan.shape": [],
    "plan.no-steps": {},
    "plan.field": {"steps": [{"tool": "calculator", "label": "a"}]},
    "plan.span": {"steps": [{"tool": "calculator", "input": {}, "span": [3, 1]}]},
    "plan.surrogate": {"steps": [{"tool": "calculator", "input": {"expression": "\ud800"}}]},
}


async def messages() -> dict[str, str]:
    """The question, what comes of answers to it, and what is wrong with edited plans."""
    graph = _graph()
    question = (await _asked(graph))["__interrupt__"][0].value
    told = {"question": question["question"]}
    for key, answer in _ANSWERS.items():
        again = (await _resumed(graph, answer))["__interrupt__"][0].value
        told[key] = again["reasons"][-1]
    for key, approval_answer in (
        ("rejected", False),
        ("rejected.reason", {"what": "rejected", "reason": "<reason>"}),
        ("expired.days", {"what": "expired"}),
    ):
        await _asked(graph)
        told[key] = (await _resumed(graph, approval_answer))["error"]["message"]
    soon = _graph(approval_expires=97)
    await _asked(soon)
    expired = (await _resumed(soon, {"what": "expired"}))["error"]["message"]
    told["expired"] = masked(expired, within="97 s")
    for key, given in _PLANS.items():
        told[key] = refusal(PlanUnfit, read_plan, given, _TOOLS, DEFAULT_LIMITS)
    told["plan.begun"] = refusal(PlanUnfit, check_editable, finished())
    return told


def _graph(**options: Any) -> RunGraph:
    return build_graph(
        _TOOLS, checkpointer=InMemorySaver(), store=InMemoryStore(), approve="always", **options
    )


async def _asked(graph: RunGraph) -> dict[str, Any]:
    given: Any = {"prompt": "add todo milk"}
    return flat(await graph.ainvoke(given, _CONFIG))


async def _resumed(graph: RunGraph, answer: object) -> dict[str, Any]:
    command: Any = Command(resume=answer)
    return flat(await graph.ainvoke(command, _CONFIG))
