"""What is said about steps that may have acted, and about answers that cannot be carried out."""

from typing import Any, cast

from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore

from graph.state import Attempt, RunState, question_of
from nodes.approval.asking import DoubtGate
from nodes.approval.questions import AnswerUnfit, checked_answer
from nodes.execute_step import execute_step
from tests.support.runs.step_attempts import run
from tests.support.wording.messages import masked, refusal
from tools.loading import undeclared_words
from tools.registry import make_tools, tool
from tools.threads import ToolThreads


async def messages() -> dict[str, str]:
    """What is known of such a step, what it comes to, and what is refused."""
    state = await _doubted()
    question = question_of(state)
    assert question is not None
    attempt = question["attempt"]
    assert attempt["error"] is not None
    gate = DoubtGate()
    failed = gate.carried_out(state, question, {"as": "fail"})["error"]["message"]
    expired = gate.carried_out(state, question, {"what": "expired", "as": "fail"})
    return {
        "known": masked(attempt["error"]["message"], tool="pay"),
        "failed": masked(failed, tool="pay"),
        "expired": masked(expired["error"]["message"], tool="pay"),
        "output.as": _refused(state, attempt, "skip", 1),
        "skip.referred": _refused(state, attempt, "skip", None),
        "undeclared.one": masked(undeclared_words(["pay"]), tool="pay"),
        "undeclared.several": masked(undeclared_words(["pay", "send"]), tools="pay, send"),
    }


def _refused(state: RunState, attempt: Attempt, decided: Any, output: Any) -> str:
    return refusal(AnswerUnfit, checked_answer, state, attempt, decided, output)


async def _doubted() -> RunState:
    @tool("pay")
    async def pay() -> None:
        """Lose the connection."""
        raise ConnectionResetError

    state = run(("pay", {}), ("echo", {"value": "{step_1_output}"}))
    runtime: Any = Runtime(store=InMemoryStore())
    update = await execute_step(state, runtime, tools=make_tools([pay]), threads=ToolThreads(1))
    return cast("RunState", {**state, **update})
