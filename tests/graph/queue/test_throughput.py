"""The measured rate of ends, from which a refused client learns when to come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.queue.fair import ENDS, LONGEST, SHORTEST, WINDOW, Throughput


class Clock:
    """Goes on when told to, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def pace_with(*gaps: float) -> tuple[Throughput, Clock]:
    """A pace that has seen an end after each of these times."""
    clock = Clock()
    throughput = Throughput(clock)
    for gap in gaps:
        clock.now += gap
        throughput.note_end()
    return throughput, clock


def test_it_takes_as_long_as_ends_have_taken() -> None:
    """Two a second: twenty take ten seconds."""
    throughput, clock = pace_with(*[0.5] * 40)
    clock.now += 0.5
    assert throughput.time_for(20) == pytest.approx(10.0, rel=0.05)


def test_a_standstill_slows_the_pace() -> None:
    throughput, clock = pace_with(*[0.5] * 40)
    clock.now += 20.0
    assert throughput.time_for(20) == pytest.approx(20.0, rel=0.05)


@pytest.mark.parametrize("gaps", [[], [1.0, 1.0]])
def test_without_an_end_of_late_it_is_the_longest(gaps: list[float]) -> None:
    """Nothing is known of the pace, or that nothing gets on."""
    throughput, clock = pace_with(*gaps)
    clock.now += WINDOW + 1
    assert throughput.time_for(1) == LONGEST


def test_what_is_long_ago_does_not_count() -> None:
    """However fast it was."""
    throughput, clock = pace_with(*[0.001] * 500)
    clock.now += WINDOW
    for _ in range(10):
        clock.now += 1.0
        throughput.note_end()
    clock.now += 1.0
    assert throughput.time_for(20) == pytest.approx(20.0, rel=0.15)


def test_one_end_tells_no_pace_that_nobody_could_keep() -> None:
    """A burst of one is no rate of a thousand a second."""
    throughput, _ = pace_with(30.0)
    assert throughput.time_for(1_000) > 10 * SHORTEST


@given(
    gaps=st.lists(st.floats(0, 100), max_size=50), runs=st.floats(0, 1e9), later=st.floats(0, 100)
)
def test_it_is_never_beyond_its_bounds(gaps: list[float], runs: float, later: float) -> None:
    throughput, clock = pace_with(*gaps)
    clock.now += later
    assert SHORTEST <= throughput.time_for(runs) <= LONGEST


def test_only_so_many_ends_are_kept() -> None:
    throughput, clock = pace_with(*[0.001] * (3 * ENDS))
    assert len(throughput._ends) == ENDS
    clock.now += 0.001
    assert throughput.time_for(10_000) == pytest.approx(10.0, rel=0.01)


def test_the_rate_is_none_until_a_run_has_ended_and_then_so_many_a_second() -> None:
    assert pace_with()[0].rate() is None
    throughput, clock = pace_with(*[0.5] * 40)
    clock.now += 0.5
    assert throughput.rate() == pytest.approx(2.0, rel=0.05)
    clock.now += WINDOW + 1
    assert throughput.rate() is None
