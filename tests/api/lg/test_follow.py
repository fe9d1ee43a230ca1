"""A thread that is followed over its runs."""

import pytest
from langgraph_sdk.errors import UnprocessableEntityError


def told_of(stream, ends):
    """What is told until so many runs have ended."""
    told = []
    for part in stream:
        told.append((part.id, part.event, part.data))
        if sum(kind == "end" for _, kind, _ in told) == ends:
            break
    stream.close()
    return told


def test_it_is_told_of_each_run_from_now_on(server, lg, thread):
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    for prompt in ("pass gate followed", "calculate 2 + 2"):
        lg.runs.create(thread, "runwright", input={"prompt": prompt})
    stream = iter(lg.threads.join_stream(thread))
    first = next(stream)
    server.open_gate("followed")
    told = [(first.id, first.event, first.data), *told_of(stream, 2)]

    results = [data["result"] for _, kind, data in told if kind == "values"]
    assert [one["output"] for one in results if one] == ["followed", 4]
    everything = told_of(lg.threads.join_stream(thread, last_event_id="-1"), 3)
    assert everything[-len(told) :] == told
    for place in (0, len(told) // 2):
        left = told[place + 1 :]
        ends = sum(kind == "end" for _, kind, _ in left)
        rest = told_of(lg.threads.join_stream(thread, last_event_id=told[place][0]), ends)
        assert rest == left


def test_only_beginnings_and_ends_are_told_where_that_is_asked_for(lg, thread):
    lg.runs.wait(thread, "runwright", input={"prompt": "calculate 1 + 1"})
    stream = lg.threads.join_stream(thread, stream_mode="lifecycle", last_event_id="-1")
    told = told_of(stream, 1)
    assert [kind for _, kind, _ in told] == ["metadata", *["lifecycle"] * 3, "end"]


def test_what_cannot_be_followed_is_refused(lg, thread):
    for given in ({"stream_mode": "state_update"}, {"last_event_id": "yesterday"}):
        with pytest.raises(UnprocessableEntityError):
            next(iter(lg.threads.join_stream(thread, **given)))
