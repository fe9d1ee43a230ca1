"""What a run can be given on the command line, and the pairs by which runs are found."""

import argparse
import json
from pathlib import Path
from typing import Any

from api.cli.local_run import NotStarted
from graph.runs.accept import RunOptions


def add_task(task: argparse.ArgumentParser) -> None:
    """What a run can be given."""
    task.add_argument(
        "task", nargs="+", help="what is to be done, in plain words; - reads the standard input"
    )
    task.add_argument("--json", action="store_true", help="print the whole record as JSON")
    task.add_argument("--model", help="the model that plans it, one of those configured")
    task.add_argument("--instructions", help="how it is to be planned, for models")
    task.add_argument(
        "--tool", action="append", metavar="NAME", help="a tool that it may use; once or more"
    )
    task.add_argument(
        "--answer",
        action=argparse.BooleanOptionalAction,
        help="whether a model answers in words at its end (RUNWRIGHT_ANSWER)",
    )
    task.add_argument(
        "--result-schema", metavar="FILE", help="JSON Schema of a shape that the answer has as well"
    )
    task.add_argument("--webhook", metavar="URL", help="where its end is posted as well")
    task.add_argument("--thread", help="what it goes on with, by name or id; a new name begins it")
    add_metadata(task, "stays with the run")


def task_options(options: argparse.Namespace) -> RunOptions:
    """What a run was given beside its task. Raises `NotStarted`."""
    return RunOptions(
        model=options.model,
        instructions=options.instructions,
        tools=options.tool,
        answer=options.answer,
        result_schema=options.result_schema and _schema_in(options.result_schema),
        webhook=options.webhook,
        metadata=metadata_of(options),
    )


def add_metadata(command: argparse.ArgumentParser, does: str) -> None:
    """The option by which a command is given pairs; `does` says what for."""
    command.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY:VALUE",
        help=f"{does}; once or more",
    )


def metadata_of(options: argparse.Namespace) -> dict[str, str]:
    """The pairs. Raises `NotStarted` for what is none."""
    pairs = [given.partition(":") for given in options.metadata]
    for key, colon, _ in pairs:
        if not colon:
            raise NotStarted(f"--metadata {key!r} should be a pair, as key:value")
    return {key: value for key, _, value in pairs}


def _schema_in(file: str) -> dict[str, Any]:
    """The JSON Schema that a file has. Raises `NotStarted`."""
    try:
        schema = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotStarted(f"--result-schema {file}: no JSON can be read there: {error}") from None
    if not isinstance(schema, dict):
        raise NotStarted(f"--result-schema {file}: it should be a JSON Schema, which is an object")
    return schema
