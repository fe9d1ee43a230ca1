"""What the scripted models answer: one that knows every answer, and one that errs."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.agent.provider import Asked
from benchmarks.agent.tasks import Call, Documented, act

#: Answers one request of a turn.
Script = Callable[[Asked], str]

#: The server's name in our file, which its tools are called by.
SERVER = "bfcl"

FINISHED = json.dumps({"steps": [], "then": "done", "answer": None})


def plan(calls: Sequence[Call], then: str = "done") -> str:
    """A model's answer with these calls; arguments as text, since the tools are too many."""
    steps = [
        {
            "reasoning": "as asked",
            "tool": f"{SERVER}.{call.tool}",
            "input_json": json.dumps(_escaped(dict(call.arguments))),
        }
        for call in calls
    ]
    return json.dumps({"steps": steps, "then": then, "answer": None})


def _escaped(value: Any) -> Any:
    """The value with its braces doubled, since single ones are references."""
    if isinstance(value, str):
        return value.replace("{", "{{").replace("}", "}}")
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(one) for one in value]
    return value


def perfect(calls: Sequence[Call], *, max_rounds: int, looks_at_end: bool) -> Script:
    """The calls in as many rounds as there may be, and perhaps one in which nothing is left."""
    rounds = min(len(calls), max_rounds)
    ends = [len(calls) * number // rounds for number in range(1, rounds + 1)] if calls else []
    last_looks = looks_at_end and rounds < max_rounds

    def answer(asked: Asked) -> str:
        left = [end for end in ends if end > asked.done]
        if not left:
            return FINISHED
        then = "look" if len(left) > 1 or last_looks else "done"
        return plan(calls[asked.done : left[0]], then)

    return answer


@dataclass(frozen=True)
class Turn:
    """A turn as an erring model sees it: the right calls, and the world that it begins in."""

    calls: Sequence[Call]
    world: Mapping[str, Any]
    tools: Mapping[str, Documented]

    def right(self, asked: Asked) -> str:
        """All that is left to do."""
        return plan(self.calls[asked.done :]) if asked.done < len(self.calls) else FINISHED

    def failing(self) -> list[Call] | None:
        """Calls that begin rightly and fail at one that changes nothing by that, if there are any.

        A call is left out, such as a `cd`, without which a later one fails; or an argument is
        another.
        """
        for place in range(len(self.calls)):
            rest = list(self.calls[place + 1 :])
            if rest and self._fails([*self.calls[:place], rest[0]]):
                return [*self.calls[:place], *rest]
        for place, call in enumerate(self.calls):
            for name, value in call.arguments.items():
                other = Call(call.tool, {**call.arguments, name: _other(value)})
                if self._fails([*self.calls[:place], other]):
                    return [*self.calls[:place], other, *self.calls[place + 1 :]]
        return None

    def _fails(self, calls: Sequence[Call]) -> bool:
        """Whether the last of these calls is the first to fail, and leaves all as it was."""
        world = copy.deepcopy(self.world)
        for call in calls[:-1]:
            if act(world, call, self.tools)[1]:
                return False
        before = _public(world)
        return act(world, calls[-1], self.tools)[1] and _public(world) == before


def _public(world: Mapping[str, Any]) -> str:
    """What the checker compares, as text."""
    return repr(
        {
            name: {key: _shape(value) for key, value in vars(one).items() if key[0] != "_"}
            for name, one in world.items()
        }
    )


def _shape(value: Any) -> Any:
    """A value, with what objects hold instead of where they are; folders name their parents."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if hasattr(value, "__dict__"):
        held = {key: one for key, one in vars(value).items() if "parent" not in key}
        return {key: _shape(one) for key, one in held.items()}
    return value


def _other(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value}_x"
    return value + 7_919 if type(value) in (int, float) else value


@dataclass(frozen=True)
class Way:
    """A way to err: the script of a turn, or None where the turn leaves no room for it."""

    name: str
    script: Callable[[Turn], Script | None]


def _first_then_right(first: Callable[[Turn], str | None]) -> Callable[[Turn], Script | None]:
    """Errs at first, and is right whenever it is asked again."""

    def script(turn: Turn) -> Script | None:
        wrong = first(turn)
        if wrong is None:
            return None
        return lambda asked: wrong if asked.what == "first" else turn.right(asked)

    return script


def _with(turn: Turn, change: Callable[[Call], Call | None]) -> str | None:
    """The plan with the first call changed that can be."""
    for place, call in enumerate(turn.calls):
        if changed := change(call):
            return plan([*turn.calls[:place], changed, *turn.calls[place + 1 :]])
    return None


def _misnamed(call: Call) -> Call | None:
    if not call.arguments:
        return None
    (name, value), *rest = call.arguments.items()
    return Call(call.tool, {f"the_{name}": value, **dict(rest)})


def _lacking(turn: Turn) -> str | None:
    def without(call: Call) -> Call | None:
        required = turn.tools[call.tool].schema["required"]
        if not required:
            return None
        kept = {name: one for name, one in call.arguments.items() if name != required[0]}
        return Call(call.tool, kept)

    return _with(turn, without)


def _mistyped(turn: Turn) -> str | None:
    def other(call: Call) -> Call | None:
        if not call.arguments:
            return None
        name = next(iter(call.arguments))
        return Call(call.tool, {**call.arguments, name: {"value": call.arguments[name]}})

    return _with(turn, other)


def _misreferring(turn: Turn) -> str | None:
    for place, call in enumerate(turn.calls):
        if call.arguments:
            answer = json.loads(plan(turn.calls))
            given = {**call.arguments, next(iter(call.arguments)): "{step_99_output}"}
            answer["steps"][place]["input_json"] = json.dumps(given)
            return json.dumps(answer)
    return None


def _talkative(turn: Turn) -> str | None:
    if not turn.calls:
        return None
    return f"Sure! This is what I will do:\n```JSON\n{plan(turn.calls)}\n```\nTell me if not."


def _too_few(turn: Turn) -> str | None:
    return plan(turn.calls[:-1], "look") if len(turn.calls) > 1 else None


def _failing(turn: Turn) -> str | None:
    return plan(failing) if (failing := turn.failing()) else None


def _failing_then(answer: str) -> Callable[[Turn], Script | None]:
    def script(turn: Turn) -> Script | None:
        wrong = _failing(turn)
        return (lambda asked: wrong if asked.what == "first" else answer) if wrong else None

    return script


WAYS = (
    Way("wrong argument name", _first_then_right(lambda turn: _with(turn, _misnamed))),
    Way("missing argument", _first_then_right(_lacking)),
    Way(
        "no such tool",
        _first_then_right(
            lambda turn: _with(turn, lambda call: Call(f"{call.tool}_now", call.arguments))
        ),
    ),
    Way("wrong type", _first_then_right(_mistyped)),
    Way("wrong reference", _first_then_right(_misreferring)),
    Way("words around the plan", _first_then_right(_talkative)),
    Way("a call that fails", _first_then_right(_failing)),
    Way("one step too few", _first_then_right(_too_few)),
    Way(
        "gives up after a failure",
        _failing_then(json.dumps({"steps": [], "then": "refuse", "answer": "It failed."})),
    ),
    Way(
        "claims done after a failure",
        _failing_then(json.dumps({"steps": [], "then": "done", "answer": "All is done."})),
    ),
)
