"""Random moments of a task at which our server is killed, and what makes it happen then."""

import json
import os
import random
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx

from benchmarks.agent.provider import Asked, Provider
from benchmarks.agent.script import Script


@dataclass(frozen=True)
class Moment:
    """`when` a call of the model (asked, planned) or of a tool (before, acted, answered) is there.

    `number` of that call in the task, and seconds `after` it.
    """

    when: str
    number: int
    after: float

    def aim(self, pid: int, model: Provider, tools: str) -> None:
        """Have the process killed then; once."""
        if self.when in ("before", "acted", "answered"):
            kill = {"pid": pid, "call": self.number, "when": self.when, "after": self.after}
            httpx.post(f"{tools}/kill", json=kill, trust_env=False).raise_for_status()
            return
        begun = model.count

        def strike(number: int) -> None:
            if number == begun + self.number:
                timer = threading.Timer(self.after, _kill, [pid])
                timer.run() if self.when == "asked" else timer.start()

        if self.when == "asked":
            model.before = strike
        else:
            model.after = strike


def random_moment(scripts: Sequence[Script], chance: random.Random) -> Moment:
    """Any moment of a task as likely as any other."""
    models, calls = 0, 0
    for script in scripts:
        asked, calls_of_turn = expected(script)
        models, calls = models + asked, calls + calls_of_turn
    moments = [(when, number + 1) for number in range(models) for when in ("asked", "planned")]
    moments += [
        (when, number + 1) for number in range(calls) for when in ("before", "acted", "answered")
    ]
    when, number = chance.choice(moments)
    # A few milliseconds are what lies between one checkpoint and the next.
    return Moment(when, number, chance.uniform(0, 0.03) if when in ("planned", "answered") else 0)


def expected(script: Script) -> tuple[int, int]:
    """How many calls of the model, and of tools, a turn takes where nothing goes wrong."""
    asked, done = 0, 0
    while True:
        answer = json.loads(script(Asked("look" if asked else "first", done)))
        asked, done = asked + 1, done + len(answer["steps"])
        if answer["then"] != "look":
            return asked, done


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
