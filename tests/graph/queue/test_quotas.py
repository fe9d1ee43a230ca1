"""What one owner may take: each limit holds before anything is stored, for that owner alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from graph.commands.retry import RetryRequest
from graph.commands.seeded import Edits
from graph.queue.fair import NoRoom, PostRate, Quotas, RunUsedUp, TooManyPosts
from graph.runs.accept import AlreadyAccepted
from graph.service import Runs
from graph.state import DEFAULT_LIMITS
from graph.state.row import NO_QUOTA, IdempotencyKey, Kept, Quota, RunRow
from graph.storage.fleet import Posts
from graph.storage.postgres.connection import PostgresReader, connecting
from graph.storage.postgres.notices import PostgresPosts
from graph.storage.search import Search
from graph.storage.storage import Storage
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import patience
from tests.support.runs.live_runs import Gates, process, start

#: A prompt that is refused, and so does nothing.
REFUSED = "hum a tune"


async def ended(runs: Runs, run_id: str, owner: str = "default") -> str:
    await runs.wait(run_id, timeout=patience(), owner=owner)
    return run_id


async def kept(storage: Storage, owner: str = "default") -> int:
    """How many runs there are, counted one by one."""
    return (await storage.index.search(owner, Search())).matching


async def posted(runs: Runs, prompt: str = REFUSED, owner: str = "default") -> str:
    return await ended(runs, (await runs.start(prompt, owner=owner))["run_id"], owner)


class Rates:
    """Counts of posts by processes that are alone, or share a database; `now` in seconds."""

    def __init__(self, posts: Posts | None = None, postgres: PostgresServer | None = None) -> None:
        self.now = 0.0
        self._posts, self._postgres = posts, postgres

    def rate(self, limit: int) -> PostRate:
        return PostRate(limit, self._posts, clock=lambda: self.now)

    def wait_until(self, now: float) -> None:
        if self._postgres:
            self._postgres.execute("UPDATE public.clock SET now = %s", now)
        self.now = now


@pytest.fixture
async def shared_rates(postgres: PostgresServer) -> AsyncIterator[Rates]:
    """Of processes that share an empty database, and its clock."""
    postgres.execute("DROP TABLE IF EXISTS public.clock")
    postgres.execute("CREATE TABLE public.clock AS SELECT 0.0::float8 AS now")
    connections = PostgresReader(connecting(postgres.empty()))
    yield Rates(PostgresPosts(connections, "(SELECT now FROM public.clock)"), postgres)
    await connections.aclose()


@pytest.fixture(params=["alone", "fleet"])
def rates(request: pytest.FixtureRequest) -> Rates:
    """Of each kind of process."""
    if request.param == "alone":
        return Rates()
    made: Rates = request.getfixturevalue("shared_rates")
    return made


async def test_posts_come_back_evenly(rates: Rates) -> None:
    rate = rates.rate(60)
    for _ in range(60):
        await rate.take("me")
    with pytest.raises(TooManyPosts) as refused:
        await rate.take("me")
    assert refused.value.retry_after == pytest.approx(1.0)
    assert (await rate.posted("me"), await rate.posted("you")) == (60, 0)
    await rate.take("you")
    rates.wait_until(0.999)
    with pytest.raises(TooManyPosts):
        await rate.take("me")
    rates.wait_until(1.0)
    await rate.take("me")  # those that were refused are not counted
    with pytest.raises(TooManyPosts):
        await rate.take("me")
    rates.wait_until(1000.0)
    assert await rate.posted("me") == 0


async def test_no_limit_of_posts_counts_none(rates: Rates) -> None:
    rate = rates.rate(0)
    for _ in range(1_000):
        await rate.take("me")
    assert await rate.posted("me") == 0


async def test_of_many_posts_at_once_as_many_are_let_through_as_are_allowed(rates: Rates) -> None:
    rate = rates.rate(60)
    taken = await asyncio.gather(*(rate.take("me") for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(one, TooManyPosts) for one in taken) == 40
    rates.wait_until(30.0)
    taken = await asyncio.gather(*(rate.take("me") for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(one, TooManyPosts) for one in taken) == 20
    assert await rate.posted("me") == 60


async def test_processes_that_share_a_database_count_together(shared_rates: Rates) -> None:
    one, other = shared_rates.rate(6), shared_rates.rate(6)
    for each in (one, other, other):
        await each.take("me")
    assert await one.posted("me") == await other.posted("me") == 3

    taken = await asyncio.gather(
        *(each.take("me") for each in (one, other) * 5), return_exceptions=True
    )
    refused = [error for error in taken if isinstance(error, TooManyPosts)]
    assert len(refused) == 7
    assert {error.retry_after for error in refused} == {10.0}
    await one.take("you")

    shared_rates.wait_until(10.0)
    await one.take("me")
    with pytest.raises(TooManyPosts):
        await other.take("me")


async def test_who_gives_up_waiting_for_the_count_keeps_nobody_from_it(
    shared_rates: Rates,
) -> None:
    rate = shared_rates.rate(6)
    tasks = [asyncio.create_task(rate.take("me")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    await tasks[2]
    await rate.take("me")


async def test_whatever_is_planned_or_executed_counts_as_a_post(storage: Storage) -> None:
    """A post, a preview, a retry and a fork; a post with a key that was used is none."""
    async with process(storage, Gates(), quotas=Quotas(posts=4)) as runs:
        key = IdempotencyKey(name="k", fingerprint="f")
        run_id = await ended(runs, (await runs.start(REFUSED, key=key))["run_id"])
        with pytest.raises(AlreadyAccepted):
            await runs.start(REFUSED, key=key)
        await runs.preview(REFUSED)
        await runs.retry(run_id, RetryRequest(), by="me", owner="default")
        await ended(runs, run_id)
        checkpoint = await some_checkpoint(runs, run_id)
        await runs.fork(run_id, checkpoint, Edits(), owner="default")

        before = await runs.get(run_id, owner="default")
        orders: list[Callable[[], Awaitable[Any]]] = [
            lambda: runs.start(REFUSED),
            lambda: runs.preview(REFUSED),
            lambda: runs.retry(run_id, RetryRequest(), by="me", owner="default"),
            lambda: runs.fork(run_id, checkpoint, Edits(), owner="default"),
        ]
        for order in orders:
            with pytest.raises(TooManyPosts):
                await order()
        assert await runs.get(run_id, owner="default") == before
        assert await kept(storage) == 2
        assert await posted(runs, owner="another")


async def some_checkpoint(runs: Runs, run_id: str) -> str:
    page = await runs.history(run_id, owner="default", limit=1)
    return str(page["checkpoints"][0]["checkpoint_id"])


async def test_no_more_runs_are_kept_than_are_allowed_however_many_come_at_once(
    storage: Storage,
) -> None:
    async with process(storage, Gates(), quotas=Quotas(stored=Quota(runs=3))) as runs:
        keys = [IdempotencyKey(name=f"{number}", fingerprint="f") for number in range(5)]
        answers = await asyncio.gather(
            *(runs.start(REFUSED) for _ in range(5)),
            *(runs.start(REFUSED, key=key) for key in keys),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(one) for one in refused] == [NoRoom] * 7
        assert await kept(storage) == 3
        # What was refused has left nothing, not even its key.
        names = [await storage.index.find_key("default", key.name, at=0.0) for key in keys]
        assert sum(found is not None for found in names) <= 3

        run_id = (await storage.index.search("default", Search())).rows[0].run_id
        await runs.remove(await ended(runs, run_id), owner="default")
        await posted(runs)
        with pytest.raises(NoRoom):
            await runs.start(REFUSED)
        assert await posted(runs, owner="another")


async def test_bytes_are_those_of_what_is_kept(storage: Storage) -> None:
    """They come with a run and go with it, and a run that settles beyond the limit is the last."""
    quotas = Quotas(stored=Quota(bytes=30_000))
    async with process(storage, Gates(), quotas=quotas) as runs:
        long = "hum " * 2_000
        run_id = await posted(runs, long)
        once = (await storage.index.kept("default")).bytes
        assert 3 * len(long) < once < 20 * len(long)  # the prompt is in each of its checkpoints
        with pytest.raises(NoRoom) as refused:
            await runs.start(REFUSED)
        assert (refused.value.what, refused.value.kept) == ("bytes", once)
        with pytest.raises(NoRoom):
            await runs.retry(run_id, RetryRequest(), by="me", owner="default")
        assert (await runs.get(run_id, owner="default"))["retries"] == 0

        await runs.remove(run_id, owner="default")
        assert await storage.index.kept("default") == Kept(0, 0)
        await posted(runs)


async def test_what_is_kept_is_told_by_owner(storage: Storage) -> None:
    quotas = Quotas(posts=100, stored=Quota(runs=7))
    async with process(storage, Gates(), quotas=quotas) as runs:
        for _ in range(3):
            await posted(runs, owner="me")
        told, used = await runs.usage("me")
        assert told == quotas
        assert (used.kept.runs, 1 <= used.posts <= 3) == (3, True)
        assert used.kept.bytes > 0
        _, none = await runs.usage("you")
        assert (none.kept, none.posts) == (Kept(), 0)


async def test_a_run_is_retried_as_often_as_it_may_be(storage: Storage) -> None:
    """Beyond that its record stays as it is, whoever cancels and retries by turns."""
    async with process(storage, Gates(), quotas=Quotas(retries=2)) as runs:
        run_id = await posted(runs)
        for _ in range(2):
            await runs.retry(run_id, RetryRequest(), by="me", owner="default")
            await ended(runs, run_id)
        before = await runs.get(run_id, owner="default")
        for _ in range(3):
            with pytest.raises(RunUsedUp):
                await runs.retry(run_id, RetryRequest(), by="me", owner="default")
        assert await runs.get(run_id, owner="default") == before
        await runs.retry(await posted(runs), RetryRequest(), by="me", owner="default")


async def test_a_run_is_forked_as_often_as_it_may_be(storage: Storage) -> None:
    async with process(storage, Gates(), quotas=Quotas(stored=Quota(forks=2))) as runs:
        run_id = await posted(runs)
        checkpoint = await some_checkpoint(runs, run_id)
        answers = await asyncio.gather(
            *(runs.fork(run_id, checkpoint, Edits(), owner="default") for _ in range(6)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(one) for one in refused] == [RunUsedUp] * 4
        assert len((await runs.get(run_id, owner="default"))["forks"]) == 2


async def test_counts_of_what_is_kept_agree_with_what_there_is(storage: Storage) -> None:
    """However runs come and go."""
    async with process(storage, Gates()) as runs:
        ids = [await posted(runs, owner=owner) for owner in ("me", "you") for _ in range(4)]
        await start(runs, "pass by", owner="me")
        await runs.remove(ids[1], owner="me")
        assert (await storage.index.kept("me")).runs == await kept(storage, "me") == 4
        assert (await storage.index.kept("you")).runs == await kept(storage, "you") == 4


async def test_without_limits_a_row_is_always_taken(storage: Storage) -> None:
    row = RunRow(run_id=str(uuid4()), owner="me", prompt="x", limits=DEFAULT_LIMITS, created_at=1.0)
    assert await storage.index.accept(row, NO_QUOTA)
    assert await storage.index.kept("me") == Kept(1, 1)
