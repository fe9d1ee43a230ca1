"""Threads for blocking tools: when they start, what comes back, and what is left behind."""

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.patience import patience, until
from tools.threads import ThreadCall, ToolThreads


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What blocked threads wait for; opened in the end, so that none outlives its test."""
    gate = threading.Event()
    yield gate
    gate.set()


def blocked(threads: ToolThreads, gate: threading.Event, key: str = "step") -> ThreadCall[bool]:
    return threads.start(key, gate.wait, {})


async def test_the_result_comes_back_with_keyword_arguments() -> None:
    call = ToolThreads().start("step", divmod_of, {"left": 7, "right": 2})
    await call.started

    assert await call.result == (3, 1)
    assert not call.running


def divmod_of(left: int, right: int) -> tuple[int, int]:
    return divmod(left, right)


async def test_an_exception_comes_back_as_it_was_raised() -> None:
    call = ToolThreads().start("step", divmod_of, {"left": 1, "right": 0})

    with pytest.raises(ZeroDivisionError):
        await call.result


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration])
async def test_what_would_end_the_program_ends_only_the_call(error: type[BaseException]) -> None:
    def leave() -> None:
        raise error

    with pytest.raises(RuntimeError, match=error.__name__):
        await ToolThreads().start("step", leave, {}).result


async def test_the_callers_context_is_seen_in_the_thread() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")

    assert await ToolThreads().start("step", variable.get, {}).result == "mine"


async def test_threads_are_daemons_and_used_again() -> None:
    threads = ToolThreads()
    used: set[threading.Thread] = set()
    for _ in range(5):
        used.add(await threads.start("step", threading.current_thread, {}).result)
        await until(lambda: threads._idle == 1)  # its thread waits again

    [only] = used
    assert only.daemon


async def test_a_call_has_not_started_while_every_thread_hangs(gate: threading.Event) -> None:
    threads = ToolThreads(limit=2)
    for _ in range(2):
        hung = blocked(threads, gate)
        await hung.started
        hung.abandon()
    waiting = threads.start("next", lambda: "done", {})
    await asyncio.sleep(0.02)
    assert not waiting.started.done()
    assert not waiting.running

    gate.set()
    await waiting.started
    assert await waiting.result == "done"


async def test_no_more_threads_than_the_limit_run_at_once() -> None:
    threads, lock, now, most = ToolThreads(limit=3), threading.Lock(), [0], [0]

    def work() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1

    await asyncio.gather(*(threads.start("step", work, {}).result for _ in range(20)))
    assert most[0] <= 3


async def test_calls_at_once_get_a_thread_each() -> None:
    threads = ToolThreads(limit=8)
    meeting = threading.Barrier(8, timeout=patience())

    await asyncio.gather(*(threads.start("step", meeting.wait, {}).result for _ in range(8)))


async def test_an_abandoned_call_is_known_to_run_until_it_ends(gate: threading.Event) -> None:
    threads = ToolThreads()
    call = blocked(threads, gate)
    await call.started
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call.result
    call.abandon()
    assert call.running
    assert threads.running("step")
    assert not threads.running("another")

    gate.set()
    await threads.wait_ended("step")
    assert [call.running, threads.running("step")] == [False, False]


async def test_waiting_for_an_end_waits_for_every_call_of_the_key(gate: threading.Event) -> None:
    threads, second_gate = ToolThreads(), threading.Event()
    calls = [blocked(threads, gate), blocked(threads, second_gate)]
    for call in calls:
        await call.started
        call.abandon()
    ended = asyncio.create_task(threads.wait_ended("step"))
    gate.set()
    await calls[0].ended
    await asyncio.sleep(0)
    assert not ended.done()
    assert threads.running("step")

    second_gate.set()
    await ended


async def test_waiting_for_the_end_of_what_never_ran_is_over_at_once() -> None:
    await ToolThreads().wait_ended("step")


async def test_a_call_abandoned_before_it_starts_is_never_made(gate: threading.Event) -> None:
    threads, made = ToolThreads(limit=1), threading.Event()
    first = blocked(threads, gate)
    second = threads.start("second", made.set, {})
    second.abandon()
    gate.set()
    await first.result
    await threads.start("third", lambda: None, {}).result

    assert not made.is_set()
    assert second.started.cancelled()
    assert second.result.cancelled()


@pytest.mark.parametrize("abandon_at", ["running", "ended"])
async def test_a_late_exception_is_dropped_in_silence(
    gate: threading.Event, abandon_at: str
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))

    def fail() -> None:
        gate.wait()
        raise ValueError("too late")

    call = ToolThreads().start("step", fail, {})
    await call.started
    if abandon_at == "running":
        call.abandon()
    gate.set()
    await call.ended
    call.abandon()
    del call
    gc.collect()
    await asyncio.sleep(0)

    assert complaints == []


def test_a_thread_that_ends_after_its_loop_is_closed_harms_nobody(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes: list[object] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    threads = ToolThreads(limit=1)

    async def leave_one_behind() -> None:
        call = blocked(threads, gate)
        await call.started
        call.abandon()

    async def use_its_thread() -> str:
        return await threads.start("next", lambda: "done", {}).result

    asyncio.run(leave_one_behind())
    assert threads.running("step")
    gate.set()

    assert asyncio.run(use_its_thread()) == "done"
    assert crashes == []


def test_a_hung_thread_does_not_delay_the_end_of_the_program(tmp_path: Path) -> None:
    program = tmp_path / "hang.py"
    program.write_text(
        "import asyncio, threading\n"
        "from tools.threads import ToolThreads\n"
        "async def main():\n"
        "    call = ToolThreads().start('step', threading.Event().wait, {})\n"
        "    await call.started\n"
        "    call.abandon()\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, str(program)],
        timeout=patience(),
        capture_output=True,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


async def test_many_calls_all_come_back() -> None:
    threads = ToolThreads(limit=4)
    calls = [threads.start(f"step {number}", squared(number), {}) for number in range(300)]

    assert await asyncio.gather(*(call.result for call in calls)) == [n * n for n in range(300)]


def squared(number: int) -> Callable[[], int]:
    return lambda: number * number
