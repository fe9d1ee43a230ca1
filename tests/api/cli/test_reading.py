"""`runwright list`, `show`, `explain`, `retry` and `cancel`: on a server, and on its database."""

import hashlib
import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.own_tools.gate_tool import GATE
from tests.support.servers.commands.call import Called, call
from tests.support.servers.commands.process import running
from tests.support.servers.server_process import serving
from tests.support.wording.messages import wording

TOOLS = "examples.flaky:sleep,examples.flaky:fail_times"

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def done(folder: Path, *arguments: str, **settings: str) -> Called:
    """A command that has done what it was asked for."""
    called = call(*arguments, folder=folder, **settings)
    assert (called.returncode, called.stderr) == (0, ""), called
    return called


def run_id(folder: Path, *task: str, code: int = 0, **settings: str) -> str:
    """The id of a run that ended with this exit code."""
    called = call("run", *task, folder=folder, **settings)
    assert called.returncode == code, called
    return called.stdout.split()[1]


def test_runs_are_told_alike_by_the_server_and_by_the_database(tmp_path: Path) -> None:
    """By the server of the database, by its address from elsewhere, and without one."""
    failed = run_id(tmp_path, "fail 9 times", code=1, tools=TOOLS, backoff="0", max_attempts="2")
    first = run_id(tmp_path, "add todo buy  milk")
    commands = [
        ("list",),
        ("list", "--json"),
        ("list", "--status", "failed", "--status", "cancelled"),
        ("list", "--text", "milk", "--limit", "1"),
        *[
            (act, one, *more)
            for act in ("show", "explain")
            for one in (first, failed)
            for more in ((), ("--json",))
        ],
    ]
    here = [done(tmp_path, *command).stdout for command in commands]
    with serving(tmp_path) as server:
        there = [done(tmp_path, *command).stdout for command in commands]
        elsewhere = tmp_path / "elsewhere"
        afar = [done(elsewhere, *command, "--url", server.url).stdout for command in commands]
    assert not elsewhere.exists()
    for one, two, three in zip(here, there, afar, strict=True):
        if not one.startswith("{"):
            assert one == two == three
            continue
        records = [json.loads(text) for text in (one, two, three)]
        for record in records:
            record.pop("server_time", None)
            record.pop("shortened", None)
        assert records[0] == records[1] == records[2]
    lines = here[0].splitlines()
    assert [line.split()[:2] for line in lines] == [[first, "completed"], [failed, "failed"]]
    assert lines[0].endswith("Z  add todo buy milk")
    assert here[2].split()[0] == failed
    assert here[3].split()[0] == first
    shown = here[commands.index(("show", failed))].splitlines()
    assert shown[:2] == [f"run {failed}: failed", "> fail 9 times"]
    assert shown[-1].startswith("failed: ")
    told = here[commands.index(("explain", failed))]
    assert "\n  because attempt 2 at step 1 (fail_times)" in told


def test_a_list_says_how_many_there_are_beside_it(tmp_path: Path) -> None:
    for number in range(3):
        run_id(tmp_path, f"{number} + 2")
    told = done(tmp_path, "list", "--limit", "2").stdout.splitlines()
    assert (len(told), told[-1]) == (3, "1 more run; --limit shows more")
    assert done(tmp_path, "list", "--status", "waiting").stdout == "no runs\n"


def test_runs_are_sought_by_their_rounds(tmp_path: Path) -> None:
    """By the server of the database, by its address from elsewhere, and without one."""
    unplanned = run_id(tmp_path, "what's the capital of France", code=1)
    planned = run_id(tmp_path, "2 + 2")
    sought = {
        ("--min-rounds", "0"): [planned, unplanned],
        ("--min-rounds", "1"): [planned],
        ("--max-rounds", "0"): [unplanned],
        ("--min-rounds", "1", "--max-rounds", "1000000"): [planned],
        ("--min-rounds", "2"): [],
    }

    def found(folder: Path, *more: str) -> list[list[str]]:
        pages = [done(folder, "list", "--json", *bounds, *more).stdout for bounds in sought]
        return [[run["run_id"] for run in json.loads(page)["runs"]] for page in pages]

    here = found(tmp_path)
    with serving(tmp_path) as server:
        there, afar = found(tmp_path), found(tmp_path / "elsewhere", "--url", server.url)
    assert here == there == afar == list(sought.values())


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    """Nothing is waited for, and what a server left is told without one."""
    with serving(tmp_path, tools=GATE) as server:
        one = server.post("2 + 2, then pass gate one")
        server.until(one, lambda run: run["current"] and run["current"]["step"] == 2)
        shown = done(tmp_path, "show", one).stdout
        server.kill()
    assert done(tmp_path, "show", one).stdout == shown
    assert shown.splitlines()[0] == f"run {one}: running"
    assert shown.splitlines()[-1].startswith("  step 1 calculator: ok")


def test_a_run_is_cancelled_through_its_server(tmp_path: Path) -> None:
    with serving(tmp_path, tools=TOOLS) as server:
        one = server.post("sleep 3600 seconds")
        server.until(one, lambda run: run["current"])
        told = done(tmp_path, "cancel", one).stdout
        again = done(tmp_path / "elsewhere", "cancel", one, "--url", server.url).stdout
        assert server.get(one)["status"] == "cancelled"
    assert told == again == wording("terminal.order.cancelled", run_id=one) + "\n"


def test_a_run_that_a_server_left_is_cancelled_in_the_database(tmp_path: Path) -> None:
    """For good: the next server leaves it alone."""
    with serving(tmp_path, tools=GATE) as server:
        one = server.post("2 + 2, then pass gate one")
        server.until(one, lambda run: run["current"] and run["current"]["step"] == 2)
        server.kill()
    assert (
        done(tmp_path, "cancel", one).stdout
        == wording("terminal.order.cancelled", run_id=one) + "\n"
    )
    with serving(tmp_path, tools=GATE) as server:
        record = server.get(one)
    assert record["status"] == "cancelled"
    assert record["marks"][-1]["by"] == "the command line"


@pytest.mark.parametrize("served", [True, False])
def test_a_failed_run_goes_on_and_is_shown_to_its_end(tmp_path: Path, served: bool) -> None:
    """On the server that has the database, or here."""
    one = run_id(tmp_path, "delete the todo buy milk, then 2 + 2", code=1)
    run_id(tmp_path, "add todo buy milk")
    if served:
        with serving(tmp_path) as server:
            told = done(tmp_path, "retry", one).stdout
            assert server.get(one)["marks"][-1]["what"] == "retry"
    else:
        told = done(tmp_path, "retry", one).stdout
    assert told.startswith(f"run {one}\n")
    assert told.splitlines()[-1] == "4"
    assert call("retry", one, "--json", folder=tmp_path).returncode == 2


@pytest.mark.parametrize("served", [True, False])
def test_a_retry_says_where_it_begins_and_that_a_model_is_to_plan_anew(
    tmp_path: Path, served: bool
) -> None:
    """Without models that is refused in a line."""
    one = run_id(tmp_path, "2 + 2, then delete the todo buy milk, then 3 + 3", code=1)
    run_id(tmp_path, "add todo buy milk")
    with serving(tmp_path) if served else nullcontext():
        refused = call("retry", one, "--replan", folder=tmp_path)
        told = done(tmp_path, "retry", one, "--from-step", "1", "--json").stdout
    assert refused.returncode == 2
    assert wording("orders.retry.replan.models") in refused.stderr
    record = json.loads(told)
    assert record["status"] == "completed"
    assert record["marks"][-1]["retry"]["from_step"] == 1


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    """With a server and without, and where another command has the file."""
    completed = run_id(tmp_path, "2 + 2")
    commands = [(act, UNKNOWN) for act in ("show", "explain", "retry", "cancel")]
    commands += [(act, completed) for act in ("retry", "cancel")]
    commands += [("list", bound, "-1") for bound in ("--min-rounds", "--max-rounds")]
    commands += [("list", "--max-rounds", str(10**30))]
    commands += [("list", "--text", "!?"), ("show", "x", "--url", "localhost:8000")]
    here = [call(*command, folder=tmp_path) for command in commands]
    with serving(tmp_path):
        there = [call(*command, folder=tmp_path) for command in commands]
    with running("run", "sleep 3600 seconds", folder=tmp_path, tools=TOOLS) as command:
        command.until("plan by")
        owned = [call(act, completed, folder=tmp_path) for act in ("show", "retry", "cancel")]
    nowhere = [call("list", folder=tmp_path / "none")]
    for told in (*here, *there, *owned, *nowhere):
        assert (told.returncode, told.stdout) == (2, ""), told
        [line] = told.stderr.splitlines()
        assert line.startswith("runwright: ")


def test_with_keys_only_the_own_runs_are_listed(tmp_path: Path) -> None:
    """On the server and in the database."""
    keys = {name: f"rw_{name}_{'x' * 32}" for name in ("ann", "bob")}
    hashes = ",".join(f"{n}:{hashlib.sha256(k.encode()).hexdigest()}" for n, k in keys.items())
    one = run_id(tmp_path, "2 + 2", api_keys=hashes, api_key=keys["ann"])
    two = run_id(tmp_path, "3 + 3", api_keys=hashes, api_key=keys["bob"])
    with serving(tmp_path, api_keys=hashes):
        there = [done(tmp_path, "list", api_key=key).stdout.split()[0] for key in keys.values()]
        nobody = call("list", folder=tmp_path)
    here = [
        done(tmp_path, "list", api_keys=hashes, api_key=key).stdout.split()[0]
        for key in keys.values()
    ]
    assert here == there == [one, two]
    assert nobody.returncode == call("list", folder=tmp_path, api_keys=hashes).returncode == 2


def test_a_prompt_has_no_power_over_the_terminal(tmp_path: Path) -> None:
    one = run_id(tmp_path, "add todo \x1b[31mred")
    for command in (("list",), ("show", one), ("explain", one)):
        assert "\x1b" not in done(tmp_path, *command).stdout
