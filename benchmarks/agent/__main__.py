"""`make bench-agent`: the 200 multi-turn tasks of the Berkeley Function-Calling Leaderboard.

`python -m benchmarks.agent [--tasks N] [--parts perfect kills erring real] [--seed N]`

Package, tasks, tools and checker are those of `bfcl-eval` (Apache-2.0), which others wrote; it is
installed into an environment of its own, and nothing of it is kept here. A task is a talk of some
turns with a user over one or two of eight stateful tools: a file system, a car, trading, travel,
messages, posts, tickets, mathematics. Each turn is one run of our real server, and its tools are an
MCP server in a process that keeps the state between turns. The model is scripted: nothing is said
here of how well a model plans, but of what the loop can express, keep and mend.

A task counts as solved where their checker, which executes the calls of our records anew and
compares state and answers turn by turn with those of the right calls, has nothing to say; and where
the effects in our records are, in number, order and arguments, those in the journal of the tools.
In the three turns that cannot be done nothing may be called.

- `perfect`: the right calls of each turn, split over as many rounds as there may be, five, with a
  look between them; every other turn ends with a look after which nothing is left.
- `kills`: the same, and our server is killed by signal 9 at a random moment of each task: as a call
  of the model or of a tool begins, has acted, or was answered some milliseconds ago. It is started
  again, the turn is posted again under its key, and where a step is in doubt the answer is looked
  up in the journal of the tools: `done` with its output if the call is there, else `redo`.
- `erring`: every turn that leaves room for it begins with an error, of ten kinds in turn by task;
  asked again, the model is right, but for the last two kinds. Once with the loop as it is, once
  with one round and no mending.

Columns: `asked` are requests that reached the model, and how many `a task`; `lost` those of them of
which no record tells, since the server was killed; `calls` those that reached a tool; `looks` and
`mends` rounds planned after a look and after a failure; `repairs` plans that failed the check and
were asked for again; `doubts` steps in doubt, as done and to be made again; `unsaid` tasks that are
not solved although all of their runs claim completion.

A fourth part, `real`, is done only where it is named, by `make bench-agent-real`, since it needs
the larger model of `make test-real-llm`: 60 single-turn tasks (20 each of `simple_python`,
`multiple` and `parallel`, spread over their files), planned by that model in a server of ours, and
done by it in the loop of LangGraph's prebuilt agent (`create_react_agent`), which asks it after
every call. Both have the same descriptions of the same tools, which return the same words without a
value; a task is done by one right after the other, so that both have the same minutes, and
`--minutes` ends both after as many tasks. Solved is what their checker says of the calls that were
made, in any order.

- `rounds`: a run with every setting as it is.
- `one plan`: the same runs, judged after the first plan, which is what `max_rounds` 1 would have
  made of them: the first plan is asked for in the same words.
- `a call per step`: the loop. The model, which was made to write code, writes its calls as text;
  they are read from there (column `as text`: how many answers), or the loop would solve nothing.
- `its repeats aside`: the same, where a call that was made before, word for word, is not held
  against it.

Columns: `in` and `out` are tokens of requests and answers, those that the engine had in its cache
included.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.agent.driver import Bench, Done, bench
from benchmarks.agent.kills import random_moment
from benchmarks.agent.real import HEAD as REAL_HEAD
from benchmarks.agent.real import real
from benchmarks.agent.script import WAYS, Script, Turn, perfect
from benchmarks.agent.tasks import Documented, Task, act, read_tasks, read_tools

#: `RUNWRIGHT_MAX_ROUNDS` as it is without a setting.
MAX_ROUNDS = 5

#: Every other setting of the loop as it is, and without the loop.
LOOPS = {"as it is": {}, "one round, no mending": {"max_rounds": 1, "mend": 0}}

HEAD = (
    "",
    "tasks",
    "solved",
    "%",
    "asked",
    "a task",
    "lost",
    "calls",
    "rounds",
    "looks",
    "mends",
    "repairs",
)
HEAD += ("kills", "doubts", "unsaid", "s")


def perfect_scripts(task: Task) -> list[Script]:
    """A script for each turn; every other one looks once more at the end."""
    return [
        perfect(calls, max_rounds=MAX_ROUNDS, looks_at_end=number % 2 == 1)
        for number, calls in enumerate(task.calls)
    ]


def erring_scripts(task: Task, way: int, tools: dict[str, Documented]) -> tuple[list[Script], int]:
    """A script for each turn, and how many of them err."""
    scripts: list[Script] = []
    erring, world = 0, task.made()
    for calls in task.calls:
        turn = Turn(calls, world, tools)
        script = WAYS[way].script(turn)
        erring += script is not None
        scripts.append(script or turn.right)
        for call in calls:
            act(world, call, tools)
    return scripts, erring


def row(name: str, done: Sequence[Done], seconds: float) -> list[str]:
    """A line of the table."""
    solved = sum(one.fault is None for one in done)
    log = [entry for one in done for record in one.records for entry in record["planning_log"]]
    unsaid = sum(
        one.fault is not None and all(record["status"] == "completed" for record in one.records)
        for one in done
    )
    asked, planned = sum(one.asked for one in done), sum(one.planned for one in done)
    doubts = [sum(one.in_doubt[how] for one in done) for how in ("done", "redo")]
    figures = (
        *(len(done), solved, f"{100 * solved / max(1, len(done)):.1f}"),
        *(asked, f"{asked / max(1, len(done)):.1f}", asked - planned),
        sum(len(one.journal) for one in done),
        sum(one.rounds() for one in done),
        *(sum(one.rounds(why) for one in done) for why in ("look", "mend")),
        sum(entry["outcome"] == "rejected" for entry in log),
        *(sum(one.kills for one in done), "+".join(map(str, doubts)), unsaid, f"{seconds:.0f}"),
    )
    return [name, *map(str, figures)]


def print_rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The table, each column as wide as it must be."""
    lines = [head, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    for line in lines:
        rest = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join([line[0].ljust(widths[0]), *rest]))


def doing(
    name: str, tasks: Sequence[Task], do: Callable[[int, Task], Done]
) -> tuple[list[Done], float]:
    """All tasks one after the other; what is wrong with one is told at once."""
    began, all_done = time.perf_counter(), []
    for number, task in enumerate(tasks):
        done = do(number, task)
        all_done.append(done)
        if done.fault and name in ("perfect", "kills"):
            print(f"{name}: {task.name}: {done.fault}", flush=True)
    return all_done, time.perf_counter() - began


def kills(made: Bench, tasks: Sequence[Task], seed: int) -> list[list[str]]:
    """One kill for each task; a line for all of them, and one for each kind of moment."""
    moments: list[str] = []

    def do(_: int, task: Task) -> Done:
        scripts = perfect_scripts(task)
        # Not for secrets: the same moments for the same seed.
        moment = random_moment(scripts, random.Random(f"{seed} {task.name}"))
        moments.append(moment.when)
        began = time.perf_counter()
        done = made.do(task, scripts, name="kills", kill=moment)
        done.seconds = time.perf_counter() - began
        if done.kills != 1:
            print(f"kills: {task.name}: {done.kills} kills at {moment}", flush=True)
        return done

    done, seconds = doing("kills", tasks, do)
    rows = [row("kills", done, seconds)]
    for when in ("asked", "planned", "before", "acted", "answered"):
        some = [one for one, at in zip(done, moments, strict=True) if at == when]
        rows.append(row(f"  {when}", some, sum(one.seconds for one in some)))
    return rows


def erring(made: Bench, tasks: Sequence[Task]) -> list[list[str]]:
    """A line for each way to err, with the loop and without it, of the tasks that leave room."""
    rows = []
    for loop, options in LOOPS.items():
        chosen = [
            (task, number % len(WAYS), *erring_scripts(task, number % len(WAYS), made.tools))
            for number, task in enumerate(tasks)
        ]
        chosen = [one for one in chosen if one[3]]
        done = []
        for task, _, scripts, _ in chosen:
            began = time.perf_counter()
            one = made.do(task, scripts, name=f"erring-{len(options)}", **options)
            one.seconds = time.perf_counter() - began
            done.append(one)
        rows.append(row(f"erring, {loop}", done, sum(one.seconds for one in done)))
        for way, described in enumerate(WAYS):
            some = [one for one, of in zip(done, chosen, strict=True) if of[1] == way]
            rows.append(row(f"  {described.name}", some, sum(one.seconds for one in some)))
    return rows


def scripted(parts: Sequence[str], count: int, seed: int) -> None:
    """The parts whose model is scripted, and their table."""
    tools = read_tools()
    tasks = read_tasks(tools)
    tasks = [tasks[len(tasks) * n // count] for n in range(min(len(tasks), count))]
    rows: list[list[str]] = []
    with bench(tools) as made:
        if "perfect" in parts:
            done, seconds = doing(
                "perfect",
                tasks,
                lambda _, task: made.do(task, perfect_scripts(task), name="perfect"),
            )
            rows.append(row("perfect", done, seconds))
        if "kills" in parts:
            rows += kills(made, tasks, seed)
        if "erring" in parts:
            rows += erring(made, tasks)
    print_rows(HEAD, rows)


def main() -> None:
    """Do the parts and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.agent")
    parser.add_argument("--tasks", type=int, help="so many, spread over all")
    parts = ("perfect", "kills", "erring")
    parser.add_argument("--parts", nargs="+", choices=(*parts, "real"), default=parts)
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the part `real`")
    parser.add_argument("--keep", type=Path, help="a file for the records of the part `real`")
    options = parser.parse_args()
    if set(options.parts) & set(parts):
        scripted(options.parts, options.tasks or 200, options.seed)
    if "real" in options.parts:
        print_rows(REAL_HEAD, real(options.tasks or 60, options.minutes, options.keep))


if __name__ == "__main__":
    main()
