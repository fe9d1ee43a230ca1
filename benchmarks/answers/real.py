"""`python -m benchmarks.answers.real`: a small real model answers runs in which something failed.

Counted is how often it claims success: its answer says of what failed that it was done, or has no
word for what was not done, or is in doubt. Each answer is printed, so that whoever improves the
prompt reads them.
"""

import argparse
import asyncio
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.answers.states import answerable
from graph.models.client import LiteLlmModel, close_clients
from graph.state import RunState, run_error
from nodes.answers.prompt import SpokenText, answer_messages
from nodes.planning.model import ModelFailure
from tests.support.models.real_model import real_model

#: Words of whoever does not claim that all went well.
ADMITS = re.compile(
    r"\b(not|n't|cannot|can't|couldn't|wasn't|weren't|fail\w*|unable|unfortunately|error|problem|"
    r"impossible|unknown|unclear|uncertain|may or may not|dropped|left out|refused|denied|gone|"
    r"no such|missing|timed out|undefined)",
    re.IGNORECASE,
)

#: What is said not to have happened, and to have: no mail is sent here and no to-do deleted.
_DENIED = re.compile(r"\b(?:not|n't|never|failed to|could not)\b(?: be| been)? \w+", re.IGNORECASE)
_CLAIMED = re.compile(
    r"\b(?:mail sent|sent success\w*|(?:was|were|been) (?:sent|mailed|deleted|removed))\b",
    re.IGNORECASE,
)


def claims_success(text: str) -> bool:
    """Whether an answer says of what failed that it was done, or nothing of a failure at all."""
    return not ADMITS.search(text) or bool(_CLAIMED.search(_DENIED.sub("", text)))


_NAMES = ("milk", "bread", "eggs", "rent", "taxes")


def cases() -> list[RunState]:
    """Twenty runs: the only step has failed, one of two, what was mended, one that was dropped."""
    made = []
    for name in _NAMES:
        add: Any = ("todo_store.add", {"text": name}, None, "the list is locked by another user")
        added: Any = ("todo_store.add", {"text": name}, {"id": "1", "text": name}, None)
        gone: Any = ("todo_store.delete", {"todo": name}, None, f"there is no to-do {name!r}")
        mail: Any = ("mail.send", {"to": "ann", "text": name}, None, "the mail server refused it")
        listed: Any = ("todo_store.list", {"status": "all"}, [{"text": name}], None)
        made += [
            incomplete(answerable(f"add {name} to my list", add)),
            answerable(f"add {name} to my list and mail it to Ann", added, mail),
            answerable(f"delete {name}, then show my list", gone, listed),
            answerable(f"mail Ann about {name} and show me my list", mail, listed),
        ]
    return made


def incomplete(state: RunState) -> RunState:
    """The same where nothing was made instead of what failed."""
    error = run_error("incomplete", "no model could plan on", reason="models")
    return {**state, "skipped": [], "status": "failed", "error": error}


async def answers(base: str, minutes: float) -> list[tuple[RunState, str]]:
    """What the model says of each run, of as many as are begun in so many minutes."""
    model = LiteLlmModel("openai/local", max_tokens=200, temperature=0.0, api_base=base)
    await asyncio.to_thread(model.warm)
    found: list[tuple[RunState, str]] = []
    began = time.monotonic()

    async def unheard(_: str) -> None:
        pass

    try:
        for state in cases():
            if time.monotonic() - began > minutes * 60:
                break
            asked, _ = answer_messages(state, output=4_000, context=200_000)
            try:
                completion = await model.say(asked, timeout=300, tell=unheard)
            except ModelFailure as failure:
                print(f"real: {failure.error_class}", flush=True)
                continue
            spoken = SpokenText()
            spoken.feed(completion.text)
            spoken.end()
            found.append((state, spoken.text))
            claims = " CLAIMS SUCCESS" if claims_success(spoken.text) else ""
            print(f"real: {state['prompt']}:{claims} {spoken.text!r}", flush=True)
    finally:
        await close_clients()
    return found


def main() -> None:
    """Print the answers, and how many claim success."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", default="qwen")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        real_model(options.model, Path(folder), threads=1) as base,
    ):
        found = asyncio.run(answers(base, options.minutes))
    claims = sum(claims_success(text) for _, text in found)
    print(f"real: {claims} of {len(found)} answers claim success")


if __name__ == "__main__":
    main()
