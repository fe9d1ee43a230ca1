"""The state that a run has begun with, read back from what has become of it."""

from graph.record.diff import planned_steps
from graph.state import ForkedFrom, Plan, Round, RunState, new_run
from graph.state.rounds import after_steps, is_called, rounds_of
from nodes.contract.json_data import counted_size


def seed_of(recorded: RunState) -> RunState:
    """The state that a run has begun with."""
    seed = new_run(
        recorded["prompt"],
        run_id=recorded["run_id"],
        owner=recorded["owner"],
        limits=recorded["limits"],
        budget=recorded.get("budget"),
        created_at=recorded["created_at"],
        approve=recorded.get("approve", "never"),
        choice=recorded.get("choice"),
        metadata=recorded.get("metadata"),
        thread_id=recorded.get("thread_id"),
        traceparent=recorded.get("traceparent"),
    )
    if conversation := recorded.get("conversation"):
        seed["conversation"] = conversation
    if fork := recorded.get("forked_from"):
        seed["forked_from"] = fork
        if fork["from_step"] is not None:
            _take_over(seed, recorded, fork)
    elif is_called(recorded):
        [first, *_] = rounds_of(recorded)
        steps = planned_steps(recorded, first)
        called: Round = {**first, "last": len(steps), "proposed": None}
        seed["planned_by"] = recorded["planned_by"]
        seed["plan"] = Plan(steps=steps, rounds=[called])
        if approval := first["approval"]:
            seed["approval"] = approval
    return seed


def _take_over(seed: RunState, recorded: RunState, fork: ForkedFrom) -> None:
    """Put into the state of a fork what it has of its origin."""
    rounds = rounds_of(recorded)[: fork.get("rounds", 1)]
    since = recorded.get("log", [])[fork["logged"] :]
    if any(entry.get("steps") for entry in since) or any(
        entry["retry"]["input"] is not None for entry in since if "retry" in entry
    ):
        # What was edited since is the last round that it began with, or a later one.
        last = rounds[-1]
        steps = [*recorded["plan"]["steps"][: last["first"] - 1], *planned_steps(recorded, last)]
    else:
        steps = recorded["plan"]["steps"][: rounds[-1]["last"]]
    rounds[-1] = {**rounds[-1], "last": len(steps)}
    log, cursor = recorded.get("log", [])[: fork["logged"]], (fork["from_step"] or 1) - 1
    gone = {*fork["skip"]}
    seed["plan"] = Plan(
        steps=steps,
        rounds=[
            {**one, "dropped": [step for step in one["dropped"] if step["step"] in gone]}
            for one in rounds
        ],
    )
    seed["planned_by"] = rounds[-1]["planned_by"] or recorded["planned_by"]
    seed["planning_log"] = recorded["planning_log"][: fork["planned"]]
    seed["cursor"], seed["skipped"], seed["log"] = cursor, fork["skip"], log
    if kept := counted_size(*(one.get(name) for one in log for name in ("input", "output"))):
        seed["kept"] = kept
    look = after_steps(seed, cursor, at=recorded["created_at"])
    seed.update(look)  # type: ignore[typeddict-item]  # fields of it
