"""What ours is compared with: LangGraph's prebuilt agent, which asks the model after every call.

The small model writes its calls as text, in a fence of JSON, and not between the tags that its
engine looks for: with that alone no task would be solved. So its text is read kindly here: each
object in it with the name of a tool and arguments is a call.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.errors import GraphRecursionError

from benchmarks.agent.single import Function, Single

# It would ask the network for prices, three times.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

#: Calls of the model after which a loop that has not ended is ended.
MOST_CALLS = 8

#: What happens at a call: tool and arguments, and what the model is told.
Act = Callable[[str, dict[str, Any]], str]


@dataclass(frozen=True)
class Looped:
    """What a loop took, how it ended, and how many of the model's answers had calls as text."""

    asked: int
    tokens_in: int
    tokens_out: int
    ended: str
    read: int


class React:
    """The loop over a model at `base`, with no instructions but the descriptions of the tools."""

    def __init__(self, base: str, max_tokens: int) -> None:
        from langchain_litellm import ChatLiteLLM

        self._model = ChatLiteLLM(
            model="openai/local",
            api_base=base,
            api_key="none",
            temperature=0,
            max_tokens=max_tokens,
            request_timeout=600,
            max_retries=0,
        )

    def do(self, task: Single, act: Act) -> Looped:
        """Do a task; how its loop ended: by an answer, by too many calls, or by which error."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is to move to a package of its own
            from langgraph.prebuilt import create_react_agent

            tools = [_tool(one, act) for one in task.functions]
            reading = Reading({one.name for one in task.functions})
            model: Runnable[LanguageModelInput, Any] = self._model.bind_tools(tools)
            # A model that has its tools already is taken as it is.
            loop = create_react_agent(lambda *_: model | RunnableLambda(reading), tools)
        messages: list[AnyMessage] = []
        ended = "answer"
        try:
            for state in loop.stream(
                {"messages": [("user", task.prompt)]},
                {"recursion_limit": 2 * MOST_CALLS},
                stream_mode="values",
            ):
                messages = state["messages"]
        except GraphRecursionError:
            ended = "too many calls"
        except Exception as error:
            ended = f"{type(error).__name__}: {str(error)[:200]}"
        answers = [one for one in messages if isinstance(one, AIMessage)]
        used = [one.usage_metadata for one in answers if one.usage_metadata]
        return Looped(
            # A request that has failed was one, too.
            len(answers) + (ended not in ("answer", "too many calls")),
            sum(one["input_tokens"] for one in used),
            sum(one["output_tokens"] for one in used),
            ended,
            reading.read,
        )


class Reading:
    """Makes calls of what a model has written as text."""

    def __init__(self, names: set[str]) -> None:
        self._names, self._numbers = names, count(1)
        self.read = 0

    def __call__(self, answer: AIMessage) -> AIMessage:
        """The answer with the calls that stand in its text, if the engine has found none."""
        text = answer.content
        if answer.tool_calls or not isinstance(text, str):
            return answer
        calls = [
            ToolCall(name=name, args=given, id=f"read-{next(self._numbers)}")
            for name, given in self._calls(text)
        ]
        if not calls:
            return answer
        self.read += 1
        return answer.model_copy(update={"content": "", "tool_calls": calls})

    def _calls(self, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
        place = 0
        while (place := text.find("{", place)) >= 0:
            try:
                value, place = json.JSONDecoder().raw_decode(text, place)
            except ValueError:
                place += 1
                continue
            name, given = value.get("name"), value.get("arguments")
            if name in self._names and isinstance(given, dict):
                yield name, given


def _tool(function: Function, act: Act) -> StructuredTool:
    def called(**given: Any) -> str:
        return act(function.name, given)

    return StructuredTool.from_function(
        called,
        name=function.name,
        description=function.description,
        args_schema=dict(function.schema),
    )
