"""When a model that fails is left alone, and when it is tried again."""

import pytest

from graph.models.breaker import CircuitBreaker
from nodes.planning.model import ModelFailure

OUTAGE = ModelFailure("server_error", transient=True)
WRONG_KEY = ModelFailure("unauthorized", transient=False, misconfigured=True)
TIMEOUT = ModelFailure("timeout", transient=True)
RATE_LIMIT = ModelFailure("rate_limited", transient=True, retry_after=90)
TOO_LONG = ModelFailure("context_too_long", transient=False)


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(["a", "b"], threshold=3, pause=30, clock=clock)


def opened(clock: Clock) -> CircuitBreaker:
    one = breaker(clock)
    for _ in range(3):
        one.failed("a", OUTAGE, given_up=False)
    return one


def test_models_are_well_until_they_fail() -> None:
    one = breaker(Clock())

    assert one.allows("a")
    assert one.state() == {
        name: {"state": "ok", "until": None, "error_class": None} for name in ("a", "b")
    }


def test_failures_in_a_row_open_the_circuit_of_that_model_alone() -> None:
    one = breaker(Clock())
    one.failed("a", OUTAGE, given_up=False)
    one.failed("a", OUTAGE, given_up=False)
    assert one.allows("a")

    one.failed("a", OUTAGE, given_up=False)

    assert not one.allows("a")
    assert one.allows("b")
    assert one.state()["a"] == {"state": "open", "until": 1030.0, "error_class": "server_error"}


@pytest.mark.parametrize(("failure", "pause"), [(TIMEOUT, 30), (RATE_LIMIT, 90)], ids=str)
def test_a_model_given_up_for_keeping_its_callers_waiting_is_left_alone_at_once(
    failure: ModelFailure, pause: float
) -> None:
    """Each further call would cost a run as much time; where it is tried again, it is not yet."""
    clock = Clock()
    one = breaker(clock)
    one.failed("a", failure, given_up=False)
    assert one.allows("a")
    assert not one.holds_back("a")

    one.failed("a", failure, given_up=True)

    assert one.state()["a"] == {
        "state": "open",
        "until": clock.now + pause,
        "error_class": failure.error_class,
    }
    assert not one.allows("a")


@pytest.mark.parametrize(
    "failure", [OUTAGE, ModelFailure("server_error", transient=True, retry_after=0.0)]
)
def test_a_failure_that_costs_no_time_is_counted_also_when_a_run_gives_up(
    failure: ModelFailure,
) -> None:
    one = breaker(Clock())

    one.failed("a", failure, given_up=True)
    one.failed("a", failure, given_up=True)

    assert one.allows("a")


def test_asking_whether_a_model_is_held_back_takes_nobodys_trial() -> None:
    clock = Clock()
    one = opened(clock)
    assert one.holds_back("a")
    assert not one.holds_back("b")

    clock.now += 30

    assert not one.holds_back("a")
    assert one.allows("a")
    assert one.holds_back("a")


def test_an_answer_in_between_begins_the_count_anew() -> None:
    one = breaker(Clock())
    for _ in range(5):
        one.failed("a", OUTAGE, given_up=False)
        one.failed("a", OUTAGE, given_up=False)
        one.succeeded("a")

    assert one.allows("a")


def test_after_the_pause_one_call_goes_through() -> None:
    clock = Clock()
    one = opened(clock)

    clock.now += 29
    assert not one.allows("a")
    clock.now += 1
    assert one.allows("a")
    assert not one.allows("a")


def test_a_trial_that_succeeds_closes_the_circuit() -> None:
    clock = Clock()
    one = opened(clock)
    clock.now += 30
    one.allows("a")

    one.succeeded("a")

    assert one.allows("a")
    assert one.state()["a"] == {"state": "ok", "until": None, "error_class": None}


def test_a_trial_that_fails_opens_it_again_at_once() -> None:
    clock = Clock()
    one = opened(clock)
    clock.now += 30
    one.allows("a")
    clock.now += 2

    one.failed("a", OUTAGE, given_up=False)

    assert one.state()["a"]["until"] == clock.now + 30
    assert not one.allows("a")


def test_a_trial_of_which_nothing_is_heard_is_followed_by_another() -> None:
    """A cancelled run neither succeeds nor fails."""
    clock = Clock()
    one = opened(clock)
    clock.now += 30
    one.allows("a")

    clock.now += 30

    assert one.allows("a")


def test_a_misconfigured_model_is_left_alone_at_once_and_tried_again_later() -> None:
    """A person may pull the model or fill the account while the server runs."""
    clock = Clock()
    one = breaker(clock)

    one.failed("a", WRONG_KEY, given_up=False)

    assert one.misconfigured("a")
    assert not one.misconfigured("b")
    assert not one.allows("a")
    assert one.state()["a"] == {
        "state": "misconfigured",
        "until": 1030.0,
        "error_class": "unauthorized",
    }
    clock.now += 30
    assert one.allows("a")
    assert not one.allows("a")


def test_a_request_that_was_itself_the_fault_shows_that_the_model_works() -> None:
    clock = Clock()
    one = opened(clock)
    clock.now += 30
    one.allows("a")

    one.failed("a", TOO_LONG, given_up=False)

    assert one.allows("a")


def test_a_longer_wait_that_the_provider_asked_for_is_kept() -> None:
    clock = Clock()
    one = opened(clock)
    clock.now += 30
    one.allows("a")

    one.failed("a", RATE_LIMIT, given_up=False)

    clock.now += 89
    assert not one.allows("a")
    clock.now += 1
    assert one.allows("a")


def test_a_clock_that_is_set_back_does_not_keep_the_circuit_open() -> None:
    clock = Clock()
    one = opened(clock)

    clock.now -= 500

    assert one.allows("a")


def test_attempts_of_one_run_count_once() -> None:
    one = breaker(Clock())
    for run_id in ("first", "first", "first", "second", "second"):
        one.failed("a", OUTAGE, given_up=False, run_id=run_id)
    assert one.allows("a")

    one.failed("a", OUTAGE, given_up=False, run_id="third")

    assert not one.allows("a")


@pytest.mark.parametrize("wait", [0.5, 1, 29])
def test_a_wait_that_a_provider_asked_for_holds_for_as_long_and_leaves_nothing(wait: float) -> None:
    """Many runs have to fail before the model is closed for longer."""
    clock = Clock()
    one = CircuitBreaker(["a"], threshold=50, pause=30, clock=clock)
    one.failed("a", ModelFailure("rate_limited", transient=True, retry_after=wait), given_up=True)
    assert not one.allows("a")
    assert one.state()["a"]["until"] == clock.now + wait

    clock.now += wait

    assert one.state()["a"]["state"] == "ok"
    assert one.allows("a")
    assert one.allows("a")


def test_each_opening_and_closing_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="runwright.models")
    clock = Clock()
    one = opened(clock)
    one.failed("a", OUTAGE, given_up=False)  # of a call that had begun before
    clock.now += 30
    one.allows("a")
    one.succeeded("a")
    one.succeeded("a")
    one.failed("a", WRONG_KEY, given_up=True)
    one.failed("b", RATE_LIMIT, given_up=True)
    clock.now += 90
    one.allows("b")

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


def test_no_wait_makes_a_moment_that_nobody_can_write() -> None:
    clock = Clock()
    one = CircuitBreaker(["a"], threshold=1, pause=30, clock=clock)
    endless = ModelFailure("rate_limited", transient=True, retry_after=float("inf"))
    one.failed("a", endless, given_up=True)

    assert one.state()["a"]["until"] == clock.now + 3600
