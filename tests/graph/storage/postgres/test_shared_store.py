"""Effects of one owner in several processes: none rests on what another has changed since."""

import asyncio
import json
import subprocess
import sys
import time
from uuid import uuid4

import pytest
from langgraph.store.base import PutOp

from graph.state import DEFAULT_LIMITS
from graph.state.row import RunRow
from graph.storage.open import open_storage
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer
from tools.receipts import namespace, once
from tools.registry import ToolCall, ToolError
from tools.todos import add, adding, delete

#: How often each of two processes changes something, and so many at once.
EACH, AT_ONCE = 100, 5

PLACE = namespace("counts", "ada")

#: What each of the processes does.
PROGRAM = """
import asyncio, sys
from tests.graph.storage.postgres.test_shared_store import changes

asyncio.run(changes(*sys.argv[1:]))
"""


async def changes(url: str, name: str) -> None:
    """Add to-dos, and count them, once a line is read; print the ids and the counts."""
    async with open_storage(url, shared=True) as storage:
        print("ready", flush=True)  # noqa: T201 - it is waited for
        await asyncio.to_thread(sys.stdin.readline)

        async def change(number: int) -> tuple[str, int]:
            added = await add(f"milk {number}", of(storage, f"{name}-{number}"))
            return added["id"], await counted(of(storage, f"{name}-{number}-count"))

        done: list[tuple[str, int]] = []
        for first in range(0, EACH, AT_ONCE):
            done += await asyncio.gather(*map(change, range(first, first + AT_ONCE)))
        print(json.dumps(done), flush=True)  # noqa: T201 - it is read


def run_of(owner: str) -> RunRow:
    limits, now = DEFAULT_LIMITS, time.time()
    return RunRow(run_id=str(uuid4()), owner=owner, prompt="add tea", limits=limits, created_at=now)


def of(storage: Storage, key: str) -> ToolCall:
    return ToolCall("ada", key, storage.store)


async def counted(call: ToolCall) -> int:
    """The count of the owner, which is one higher by then."""

    async def effect() -> tuple[int, list[PutOp]]:
        found = await call.store.aget(PLACE, "count")
        count = found.value["count"] + 1 if found else 1
        return count, [PutOp(PLACE, "count", {"count": count}, index=False)]

    return await once(call, effect)


@pytest.mark.slow
@pytest.mark.lease
def test_two_processes_lose_no_change_of_one_owner(postgres: PostgresServer) -> None:
    url = postgres.empty()
    processes = [
        subprocess.Popen(
            (sys.executable, "-c", PROGRAM, url, name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "other")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    done = [each for process in processes for each in json.loads(process.communicate()[0])]
    assert len({name for name, _ in done}) == 2 * EACH
    assert sorted(count for _, count in done) == [*range(1, 2 * EACH + 1)]
    to_dos = "SELECT count(*) FROM runwright.store WHERE prefix = 'todos.ada'"
    assert postgres.execute(to_dos) == [(2 * EACH,)]


async def test_what_is_put_without_a_receipt_is_refused_by_nobody(postgres: PostgresServer) -> None:
    url = postgres.empty()
    async with open_storage(url, shared=True) as one, open_storage(url, shared=True) as other:
        assert await counted(of(one, "first")) == 1
        await other.store.aput(PLACE, "count", {"count": 7})
        assert await counted(of(other, "second")) == 8
        assert await counted(of(one, "first")) == 1


async def test_two_processes_that_write_of_the_same_owners_wait_for_each_other(
    postgres: PostgresServer,
) -> None:
    url, owners = postgres.empty(), [f"owner {number}" for number in range(12)]
    async with open_storage(url, shared=True) as one, open_storage(url, shared=True) as other:
        for _ in range(3):
            accepted = await asyncio.gather(
                *(one.index.accept(run_of(owner)) for owner in owners),
                *(other.index.accept(run_of(owner)) for owner in reversed(owners)),
            )
            assert all(accepted)


async def test_no_more_to_dos_are_kept_than_are_allowed_whoever_adds_them(
    postgres: PostgresServer,
) -> None:
    url, most = postgres.empty(), 20
    kept = "SELECT count(*) FROM runwright.store WHERE prefix = 'todos.ada'"
    async with open_storage(url, shared=True) as one, open_storage(url, shared=True) as other:
        # Each has a tool of its own, as each process has, which counts for itself, too.
        tools = [(adding(most), storage) for storage in (one, other)]
        for add_one, storage in tools:
            await add_one("tea", of(storage, f"first-{id(storage)}"))

        added = await asyncio.gather(
            *(
                add_one("milk", of(storage, f"{number}-{id(storage)}"))
                for number in range(most)
                for add_one, storage in tools
            ),
            return_exceptions=True,
        )
        refused = [str(error) for error in added if isinstance(error, BaseException)]
        assert refused == ["no more than 20 to-dos are kept; delete some first"] * (most + 2)
        assert postgres.execute(kept) == [(most,)]

        await delete("1", of(other, "delete"))
        await tools[0][0]("jam", of(one, "again"))
        for add_one, storage in tools:
            with pytest.raises(ToolError):
                await add_one("salt", of(storage, f"more-{id(storage)}"))
        assert postgres.execute(kept) == [(most,)]

        # A step that is made again has its to-do already.
        assert (await tools[0][0]("jam", of(one, "again")))["text"] == "jam"
        # Who allows more counts anew, and so does who allows fewer.
        await adding(most + 1)("salt", of(one, "larger"))
        with pytest.raises(ToolError):
            await adding(most)("salt", of(other, "smaller"))
