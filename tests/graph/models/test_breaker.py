"""When a model that fails is left alone, and when it is tried again.

By a process that is alone, and by one of many over a Postgres database.
"""

from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from graph.models.breaker import CircuitBreaker, SharedBreaker
from graph.storage.postgres.connection import PostgresReader, connecting
from graph.storage.postgres.notices import PostgresCircuits
from nodes.planning.model import ModelFailure
from tests.support.databases.postgres import PostgresServer
from tests.support.patience import until

OUTAGE = ModelFailure("server_error", transient=True)
WRONG_KEY = ModelFailure("unauthorized", transient=False, misconfigured=True)
TIMEOUT = ModelFailure("timeout", transient=True)
RATE_LIMIT = ModelFailure("rate_limited", transient=True, retry_after=90)
TOO_LONG = ModelFailure("context_too_long", transient=False)


class Clock:
    """A clock that goes when told, and makes breakers by it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def breaker(self, models: Sequence[str] = ("a", "b"), *, threshold: int = 3) -> CircuitBreaker:
        return CircuitBreaker(models, threshold=threshold, pause=30, clock=self)

    async def pass_by(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds


class FleetClock(Clock):
    """The same with breakers of processes that share a database, whose clock goes with it."""

    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__()
        self._postgres = postgres
        postgres.execute("DROP TABLE IF EXISTS public.clock")
        postgres.execute("CREATE TABLE public.clock AS SELECT 5000.0::float8 AS now")
        self._made: list[SharedBreaker] = []
        self.connections = PostgresReader(connecting(postgres.empty()))
        self._circuits = PostgresCircuits(self.connections, "(SELECT now FROM public.clock)")

    def breaker(self, models: Sequence[str] = ("a", "b"), *, threshold: int = 3) -> SharedBreaker:
        errors = (psycopg.Error,)
        made = SharedBreaker(
            models, self._circuits, errors, threshold=threshold, pause=30, clock=self
        )
        self._made.append(made)
        return made

    async def pass_by(self, seconds: float) -> None:
        for one in self._made:  # which is a matter of milliseconds
            await one.exchange()
        self._postgres.execute("UPDATE public.clock SET now = now + %s", seconds)
        await super().pass_by(seconds)


@pytest.fixture
async def fleet(postgres: PostgresServer) -> AsyncIterator[FleetClock]:
    """The clock of several processes over an empty database."""
    clock = FleetClock(postgres)
    yield clock
    await clock.connections.aclose()


@pytest.fixture(params=["alone", "fleet"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """The clock of each kind of process."""
    if request.param == "alone":
        return Clock()
    made: FleetClock = request.getfixturevalue("fleet")
    return made


def opened(clock: Clock) -> CircuitBreaker:
    one = clock.breaker()
    for _ in range(3):
        one.failed("a", OUTAGE, given_up=False)
    return one


async def test_models_are_well_until_they_fail(clock: Clock) -> None:
    one = clock.breaker()

    assert await one.allows("a")
    assert one.state() == {
        name: {"state": "ok", "until": None, "error_class": None} for name in ("a", "b")
    }


async def test_failures_in_a_row_open_the_circuit_of_that_model_alone(clock: Clock) -> None:
    one = clock.breaker()
    one.failed("a", OUTAGE, given_up=False)
    one.failed("a", OUTAGE, given_up=False)
    assert await one.allows("a")

    one.failed("a", OUTAGE, given_up=False)

    assert not await one.allows("a")
    assert await one.allows("b")
    assert one.state()["a"] == {"state": "open", "until": 1030.0, "error_class": "server_error"}


@pytest.mark.parametrize(("failure", "pause"), [(TIMEOUT, 30), (RATE_LIMIT, 90)], ids=str)
async def test_a_model_given_up_for_keeping_its_callers_waiting_is_left_alone_at_once(
    clock: Clock, failure: ModelFailure, pause: float
) -> None:
    """Each further call would cost a run as much time; where it is tried again, it is not yet."""
    one = clock.breaker()
    one.failed("a", failure, given_up=False)
    assert await one.allows("a")
    assert not one.holds_back("a")

    one.failed("a", failure, given_up=True)

    assert one.state()["a"] == {
        "state": "open",
        "until": clock.now + pause,
        "error_class": failure.error_class,
    }
    assert not await one.allows("a")


@pytest.mark.parametrize(
    "failure", [OUTAGE, ModelFailure("server_error", transient=True, retry_after=0.0)]
)
async def test_a_failure_that_costs_no_time_is_counted_also_when_a_run_gives_up(
    clock: Clock,
    failure: ModelFailure,
) -> None:
    one = clock.breaker()

    one.failed("a", failure, given_up=True)
    one.failed("a", failure, given_up=True)

    assert await one.allows("a")


async def test_asking_whether_a_model_is_held_back_takes_nobodys_trial(clock: Clock) -> None:
    one = opened(clock)
    assert one.holds_back("a")
    assert not one.holds_back("b")

    await clock.pass_by(30)

    assert not one.holds_back("a")
    assert await one.allows("a")
    assert one.holds_back("a")


async def test_an_answer_in_between_begins_the_count_anew(clock: Clock) -> None:
    one = clock.breaker()
    for _ in range(5):
        one.failed("a", OUTAGE, given_up=False)
        one.failed("a", OUTAGE, given_up=False)
        one.succeeded("a")

    assert await one.allows("a")


async def test_after_the_pause_one_call_goes_through(clock: Clock) -> None:
    one = opened(clock)

    await clock.pass_by(29)
    assert not await one.allows("a")
    await clock.pass_by(1)
    assert await one.allows("a")
    assert not await one.allows("a")


async def test_a_trial_that_succeeds_closes_the_circuit(clock: Clock) -> None:
    one = opened(clock)
    await clock.pass_by(30)
    await one.allows("a")

    one.succeeded("a")

    assert await one.allows("a")
    assert one.state()["a"] == {"state": "ok", "until": None, "error_class": None}


async def test_a_trial_that_fails_opens_it_again_at_once(clock: Clock) -> None:
    one = opened(clock)
    await clock.pass_by(30)
    await one.allows("a")
    await clock.pass_by(2)

    one.failed("a", OUTAGE, given_up=False)

    assert one.state()["a"]["until"] == clock.now + 30
    assert not await one.allows("a")


async def test_a_trial_of_which_nothing_is_heard_is_followed_by_another(clock: Clock) -> None:
    """A cancelled run neither succeeds nor fails."""
    one = opened(clock)
    await clock.pass_by(30)
    await one.allows("a")

    await clock.pass_by(30)

    assert await one.allows("a")


async def test_a_misconfigured_model_is_left_alone_at_once_and_tried_again_later(
    clock: Clock,
) -> None:
    """A person may pull the model or fill the account while the server runs."""
    one = clock.breaker()

    one.failed("a", WRONG_KEY, given_up=False)

    assert one.misconfigured("a")
    assert not one.misconfigured("b")
    assert not await one.allows("a")
    assert one.state()["a"] == {
        "state": "misconfigured",
        "until": 1030.0,
        "error_class": "unauthorized",
    }
    await clock.pass_by(30)
    assert await one.allows("a")
    assert not await one.allows("a")


async def test_a_request_that_was_itself_the_fault_shows_that_the_model_works(clock: Clock) -> None:
    one = opened(clock)
    await clock.pass_by(30)
    await one.allows("a")

    one.failed("a", TOO_LONG, given_up=False)

    assert await one.allows("a")


async def test_a_longer_wait_that_the_provider_asked_for_is_kept(clock: Clock) -> None:
    one = opened(clock)
    await clock.pass_by(30)
    await one.allows("a")

    one.failed("a", RATE_LIMIT, given_up=False)

    await clock.pass_by(89)
    assert not await one.allows("a")
    await clock.pass_by(1)
    assert await one.allows("a")


async def test_a_clock_that_is_set_back_does_not_keep_the_circuit_open() -> None:
    clock = Clock()
    one = opened(clock)

    clock.now -= 500

    assert await one.allows("a")


async def test_where_there_are_several_the_clock_of_the_database_counts(fleet: FleetClock) -> None:
    one = fleet.breaker(threshold=1)
    one.failed("a", OUTAGE, given_up=False)
    await one.exchange()

    fleet.now -= 500
    assert not await one.allows("a")
    await fleet.pass_by(30)
    assert await one.allows("a")


async def test_attempts_of_one_run_count_once(clock: Clock) -> None:
    one = clock.breaker()
    for run_id in ("first", "first", "first", "second", "second"):
        one.failed("a", OUTAGE, given_up=False, run_id=run_id)
    assert await one.allows("a")

    one.failed("a", OUTAGE, given_up=False, run_id="third")

    assert not await one.allows("a")


@pytest.mark.parametrize("wait", [0.5, 1, 29])
async def test_a_wait_that_a_provider_asked_for_holds_for_as_long_and_leaves_nothing(
    clock: Clock, wait: float
) -> None:
    """Many runs have to fail before the model is closed for longer."""
    one = clock.breaker(threshold=50)
    one.failed("a", ModelFailure("rate_limited", transient=True, retry_after=wait), given_up=True)
    assert not await one.allows("a")
    assert one.state()["a"]["until"] == clock.now + wait

    await clock.pass_by(wait)

    assert one.state()["a"]["state"] == "ok"
    assert await one.allows("a")
    assert await one.allows("a")


async def test_each_opening_and_closing_is_a_line_of_the_log(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="runwright.models")
    one = opened(clock)
    one.failed("a", OUTAGE, given_up=False)  # of a call that had begun before
    await clock.pass_by(30)
    await one.allows("a")
    one.succeeded("a")
    one.succeeded("a")
    one.failed("a", WRONG_KEY, given_up=True)
    one.failed("b", RATE_LIMIT, given_up=True)
    await clock.pass_by(90)
    await one.allows("b")

    told = [(line.getMessage(), vars(line)["model"]) for line in caplog.records]
    assert told == [
        ("model left alone", "a"),
        ("model asked again", "a"),
        ("model left alone", "a"),
        ("model left alone", "b"),
        ("model asked again", "b"),
    ]
    first = vars(caplog.records[0])
    assert (first["state"], first["error"], first["seconds"]) == ("open", "server_error", 30)


async def test_no_wait_makes_a_moment_that_nobody_can_write(clock: Clock) -> None:
    one = clock.breaker(threshold=1)
    endless = ModelFailure("rate_limited", transient=True, retry_after=float("inf"))
    one.failed("a", endless, given_up=True)

    assert one.state()["a"]["until"] == clock.now + 3600


# What one of several processes finds out of a model.


async def test_what_one_process_opens_and_closes_is_so_in_the_others(fleet: FleetClock) -> None:
    one, other = fleet.breaker(threshold=1), fleet.breaker()
    one.failed("a", OUTAGE, given_up=False)
    await one.exchange()
    assert await other.allows("a")  # a moment before it hears of it
    await other.exchange()
    assert not await other.allows("a")
    assert await other.allows("b")
    told = other.state()["a"]
    assert (told["state"], told["error_class"]) == ("open", "server_error")
    assert told["until"] == fleet.now + 30

    one.succeeded("a")  # of a call that had begun before
    await one.exchange()
    assert not await other.allows("a")
    await other.exchange()
    assert await other.allows("a")
    assert other.state()["a"] == {"state": "ok", "until": None, "error_class": None}


async def test_one_trial_is_given_to_all_processes(fleet: FleetClock) -> None:
    one, other = fleet.breaker(threshold=1), fleet.breaker(threshold=1)
    one.failed("a", OUTAGE, given_up=False)
    await fleet.pass_by(30)
    for each in (one, other):
        await each.exchange()
        assert not each.holds_back("a")

    assert sorted([await one.allows("a"), await other.allows("a")]) == [False, True]
    assert [await one.allows("a"), await other.allows("a")] == [False, False]

    await fleet.pass_by(30)  # nothing was heard of it
    assert sorted([await other.allows("a"), await one.allows("a")]) == [False, True]


async def test_a_trial_that_one_process_wins_lets_the_others_call_at_once(
    fleet: FleetClock,
) -> None:
    one, other = fleet.breaker(threshold=1), fleet.breaker(threshold=1)
    one.failed("a", OUTAGE, given_up=False)
    await fleet.pass_by(30)
    await other.exchange()
    assert await one.allows("a")
    one.succeeded("a")
    await one.exchange()

    assert await other.allows("a")  # which did not know it until then
    assert await other.allows("a")


async def test_a_wait_that_a_provider_asked_of_one_process_is_kept_by_all(
    fleet: FleetClock,
) -> None:
    one, other = fleet.breaker(threshold=50), fleet.breaker(threshold=50)
    one.failed("a", RATE_LIMIT, given_up=True)
    await one.exchange()
    await other.exchange()
    assert not await other.allows("a")

    await fleet.pass_by(90)
    for each in (one, other):
        await each.exchange()
        assert each.state()["a"]["state"] == "ok"
        assert [await each.allows("a"), await each.allows("a")] == [True, True]


async def test_what_is_misconfigured_is_so_in_one_process(fleet: FleetClock) -> None:
    """Another one may have the key that it lacks."""
    one, other = fleet.breaker(), fleet.breaker()
    one.failed("a", WRONG_KEY, given_up=True)
    await one.exchange()
    await other.exchange()

    assert not await one.allows("a")
    assert await other.allows("a")
    assert one.misconfigured("a")


async def test_of_two_that_open_a_circuit_the_later_end_counts(fleet: FleetClock) -> None:
    one, other = fleet.breaker(threshold=1), fleet.breaker(threshold=1)
    one.failed("a", RATE_LIMIT, given_up=True)
    other.failed("a", OUTAGE, given_up=True)
    await one.exchange()
    await other.exchange()

    await fleet.pass_by(60)
    assert not await other.allows("a")


async def test_without_the_database_each_goes_by_what_it_knows(
    fleet: FleetClock, postgres: PostgresServer
) -> None:
    one = fleet.breaker(threshold=1)
    one.failed("a", OUTAGE, given_up=False)
    await fleet.pass_by(30)
    postgres.execute("ALTER TABLE runwright.circuits RENAME TO gone")
    try:
        async with one.sharing():
            assert await one.allows("a")
            assert not await one.allows("a")
            one.succeeded("a")
            assert await one.allows("a")
    finally:
        postgres.execute("ALTER TABLE runwright.gone RENAME TO circuits")

    await one.exchange()  # it is told as soon as it can be
    assert postgres.execute("SELECT * FROM runwright.circuits") == []


async def test_one_that_is_shared_tells_and_hears_by_itself(fleet: FleetClock) -> None:
    one, other = fleet.breaker(threshold=1), fleet.breaker()
    async with one.sharing(), other.sharing():
        one.failed("a", OUTAGE, given_up=False)
        await until(lambda: other.holds_back("a"))
        one.succeeded("a")
        await until(lambda: not other.holds_back("a"))
