"""Requests wait for the turn of their owner, and connections that were refused are read slowly."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from api.app import HttpLimits, create_app
from api.middleware.places import PacedFlow
from graph.compose import open_runs
from graph.queue.share import BURST, OWED, LoopShare
from graph.settings import Settings
from graph.settings.configured import KeyRing, new_key
from tests.support.clocks import StandingClock
from tests.support.patience import until

KEYS = {name: new_key(name) for name in ("alice", "bob")}


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def share(clock: StandingClock) -> LoopShare:
    return LoopShare(clock)


@pytest.fixture
async def client(share: LoopShare) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(database_url="memory://")
    keys = KeyRing([kept for _, kept in KEYS.values()])
    app = create_app(lambda: open_runs(settings, share=share), HttpLimits(keys=keys), share=share)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


#: What something takes of the loop, in seconds.
STEP = 0.005


def took_much(share: LoopShare, owner: str) -> None:
    account = share.of(owner) if owner else share.of_anonymous("127.0.0.1")
    share.charge(account, BURST + OWED, share.clock())


def headers(owner: str) -> dict[str, str]:
    return {"x-api-key": KEYS[owner][0]}


async def test_a_request_waits_while_another_owner_is_served(
    client: httpx.AsyncClient, share: LoopShare, clock: StandingClock
) -> None:
    assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    took_much(share, "alice")
    waiting = asyncio.create_task(client.get("/runs", headers=headers("alice")))
    await until(lambda: share.of("alice").requests.locked())
    assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    assert not waiting.done()
    clock.now += 1
    assert (await waiting).status_code == 200


async def test_a_request_of_who_is_alone_is_answered_at_once(
    client: httpx.AsyncClient, share: LoopShare
) -> None:
    took_much(share, "alice")
    assert (await client.get("/runs", headers=headers("alice"))).status_code == 200


async def test_a_stranger_waits_to_be_refused_but_not_to_see_that_it_lives(
    client: httpx.AsyncClient, share: LoopShare, clock: StandingClock
) -> None:
    assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    took_much(share, "")
    refused = asyncio.create_task(client.get("/runs"))
    told = asyncio.create_task(client.get("/health"))
    await until(lambda: share.of_anonymous("127.0.0.1").requests.locked())
    assert (await client.get("/health/live")).status_code == 200
    assert not refused.done()
    assert not told.done()
    clock.now += 1
    assert (await refused).status_code == 401
    assert (await told).status_code == 200


async def test_a_stranger_of_another_host_waits_to_be_told_so(
    client: httpx.AsyncClient, share: LoopShare, clock: StandingClock
) -> None:
    assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    took_much(share, "")
    refused = asyncio.create_task(client.get("/health", headers={"host": "evil.example"}))
    await until(lambda: share.of_anonymous("127.0.0.1").requests.locked())
    assert not refused.done()
    clock.now += 1
    assert (await refused).status_code == 403


async def test_all_that_is_done_to_answer_is_counted(
    client: httpx.AsyncClient,
    share: LoopShare,
    clock: StandingClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also what the outer middleware does to the answer of who is refused."""
    assert (await client.get("/runs", headers=headers("bob"))).status_code == 200
    slow = Slow()
    slow.clock = clock
    monkeypatch.setattr("api.middleware.guards.DEFAULTS", slow)
    before = share.of_anonymous("127.0.0.1").stand
    assert (await client.get("/runs")).status_code == 401
    assert share.of_anonymous("127.0.0.1").stand >= before + STEP / 2


class Slow(tuple[tuple[bytes, bytes], ...]):
    """Headers, none, that take `STEP` to be read."""

    clock: StandingClock

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        self.clock.now += STEP
        return iter(())


# The flow of a connection.


class Transport(asyncio.Transport):
    """Counts how often it was told to pause and to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reading, self.closing = True, False

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        assert not self.closing
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def flow(transport: Transport) -> PacedFlow:
    return PacedFlow(transport, asyncio.get_running_loop())


async def test_a_held_flow_goes_on_by_itself(flow: PacedFlow, transport: Transport) -> None:
    flow.hold(0.001)
    flow.hold(0.001)
    assert not transport.reading
    flow.resume_reading()  # the application asks for more
    assert not transport.reading
    await until(lambda: transport.reading)


async def test_a_held_flow_stays_paused_where_nothing_is_wanted(
    flow: PacedFlow, transport: Transport
) -> None:
    flow.hold(0.001)
    flow.pause_reading()
    await asyncio.sleep(0.01)  # in which it would go on
    assert not transport.reading
    flow.resume_reading()
    assert transport.reading


async def test_a_stopped_flow_never_goes_on(flow: PacedFlow, transport: Transport) -> None:
    flow.hold(0.001)
    flow.stop()
    await asyncio.sleep(0.01)
    flow.resume_reading()
    assert not transport.reading


async def test_a_flow_that_is_closed_is_left_alone(flow: PacedFlow, transport: Transport) -> None:
    flow.hold(0.001)
    transport.closing = True
    await asyncio.sleep(0.01)
    flow.resume_reading()
    assert not transport.reading
