"""`runwright export`, `replay` and `diff`: on files, on a database, and on its server."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.servers.commands.call import Called, call
from tests.support.servers.server_process import serving

TOOLS = "examples.flaky:fail_times"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def told(folder: Path, *arguments: str, code: int = 0, **settings: str) -> str:
    """What a command has printed that ended with this code."""
    called: Called = call(*arguments, folder=folder, **{"tools": TOOLS, **settings})
    assert (called.returncode, called.stderr) == (code, ""), called
    return called.stdout


def refused(folder: Path, *arguments: str) -> str:
    """Why a command did not begin."""
    called = call(*arguments, folder=folder, tools=TOOLS)
    assert (called.returncode, called.stdout) == (2, ""), called
    return called.stderr


def run(folder: Path, *task: str, code: int = 0) -> str:
    return told(folder, "run", *task, code=code, backoff="0").split()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a few runs, and their files in `suite`."""
    folder = tmp_path_factory.mktemp("replayed")
    run(folder, "add todo milk, then show my list", "--thread", "list")
    run(folder, "fail 2 times, then 6 * 7", "--metadata", "kind:retried")
    run(folder, "calculate 1 / 0", code=1)
    told(folder, "export", "--to", str(folder / "suite"))
    return folder


def edited(file: Path, to: Path, edit: Any) -> Path:
    """A copy of an exported file, with another run in it."""
    exported = json.loads(file.read_text())
    edit(exported["run"])
    to.write_text(json.dumps(exported))
    return to


def of(folder: Path, prompt: str) -> Path:
    """The file of the run of a prompt."""
    files = (folder / "suite").glob("*.json")
    return next(one for one in files if json.loads(one.read_text())["run"]["prompt"] == prompt)


def test_runs_are_exported_one_file_each_by_id_search_and_thread(folder: Path) -> None:
    names = {path.name for path in (folder / "suite").iterdir()}
    listed = json.loads(told(folder, "list", "--json"))["runs"]
    assert names == {f"{one['run_id']}.json" for one in listed}
    for number, (asked, count) in enumerate(
        [
            ((listed[0]["run_id"],), 1),
            (("--status", "completed"), 2),
            (("--text", "milk"), 1),
            (("--thread", "list"), 1),
            (("--metadata", "kind:retried"), 1),
            (("--limit", "2"), 2),
        ]
    ):
        to = folder / f"exported-{number}"
        lines = told(folder, "export", *asked, "--to", str(to)).splitlines()
        assert len(lines) == len(list(to.iterdir())) == count, asked
    assert told(folder, "export", "--text", "nothing", "--to", str(folder / "none")) == "no runs\n"


def test_a_folder_of_exported_runs_replays_as_a_suite(folder: Path, tmp_path: Path) -> None:
    """Without a database, a server or a model."""
    lines = told(tmp_path, "replay", str(folder / "suite")).splitlines()
    assert [text.split()[0] for text in lines] == ["same", "same", "same", "3"]
    assert lines[-1] == "3 runs replayed: same"
    assert not list(tmp_path.glob("*.db"))


def test_what_differs_is_told_ends_in_1_and_is_written_as_junit(
    folder: Path, tmp_path: Path
) -> None:
    suite, report = tmp_path / "suite", tmp_path / "report.xml"
    suite.mkdir()
    for file in (folder / "suite").iterdir():
        (suite / file.name).write_text(file.read_text())

    def other_output(state: Any) -> None:
        state["log"][-1]["input"] = {"expression": "6 * 8"}

    name = of(folder, "fail 2 times, then 6 * 7").name
    edited(suite / name, suite / name, other_output)
    (suite / "zzz.json").write_text("{}")
    output = told(tmp_path, "replay", str(suite), "--junit", str(report), code=1)
    lines = output.splitlines()
    found = lines[next(n for n, text in enumerate(lines) if name in text) + 1].strip()
    assert found == 'input: step 2, attempt 1, input.expression: "6 * 8" → "6 * 7"'
    assert lines[-1] == "4 runs replayed, 2 differ"
    xml = ElementTree.parse(report).getroot()
    assert {name: xml.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
    }
    [failure] = xml.findall("testcase/failure")
    assert failure.get("message") == found
    assert told(tmp_path, "replay", str(suite / name), "--ignore", "input").startswith("same")
    [told_as_json] = json.loads(told(tmp_path, "replay", str(suite / name), "--json", code=1))
    assert told_as_json["replay"]["differences"][0]["step"] == 2


def test_a_live_tool_is_called_and_none_that_changes_something(
    folder: Path, tmp_path: Path
) -> None:
    file = of(folder, "fail 2 times, then 6 * 7")

    def other_output(state: Any) -> None:
        state["log"][-1]["output"] = 41
        state["result"]["output"] = 41
        state["result"]["summary"] = state["result"]["summary"].replace("42", "41")

    wrong = edited(file, tmp_path / "wrong.json", other_output)
    assert told(tmp_path, "replay", str(wrong)).startswith("same")
    lines = told(tmp_path, "replay", str(wrong), "--live", "calculator", code=1).splitlines()
    assert lines[1].strip() == "output: step 2, attempt 1, output: 41 → 42"
    assert "changes something" in refused(tmp_path, "replay", str(file), "--live", "todo_store.add")
    assert "no tool" in refused(tmp_path, "replay", str(file), "--live", "nothing")


def test_runs_are_replayed_and_compared_by_their_ids_at_a_server_or_without(
    folder: Path, tmp_path: Path
) -> None:
    first, second = (run(folder, text) for text in ("2 + 2", "2 + 3"))
    commands: list[tuple[int, tuple[str, ...]]] = [
        (0, ("replay", first)),
        (1, ("diff", first, second)),
        (1, ("diff", first, second, "--json")),
        (0, ("diff", first, first)),
        (0, ("export", first, "--to", str(tmp_path))),
    ]
    here = [told(folder, *command, code=code) for code, command in commands]
    with serving(folder, tools=TOOLS):
        there = [told(folder, *command, code=code) for code, command in commands]
    assert [text.replace("  2 + 2", "") for text in here] == there
    assert here[1].splitlines() == [
        'plan: step 1 as planned, input.expression: "2 + 2" → "2 + 3"',
        'input: step 1, attempt 1, input.expression: "2 + 2" → "2 + 3"',
        "output: step 1, attempt 1, output: 4 → 5",
        "output: the end, output: 4 → 5",
        'output: the end, summary: "1 step done; the result is 4" → "1 step done; the result is 5"',
    ]
    assert here[3] == "nothing differs\n"
    file = str(tmp_path / f"{first}.json")
    assert told(folder, "diff", file, second, code=1) == here[1]


def test_what_cannot_be_replayed_says_why(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no run" in refused(folder, "replay", UNKNOWN)
    assert "ends in .json" in refused(folder, "replay", str(empty))
    assert "--junit" in refused(
        folder, "replay", str(folder / "suite"), "--junit", str(empty / "none" / "x.xml")
    )
    for text, why in (
        ("no JSON", "it has no JSON"),
        ('{"format": 2}', "not what `runwright export` writes"),
        ('{"format": 1, "run": {"log": 3}}', "run.log"),
        ('{"format": 1, "run": {}}', "the run has no run_id"),
    ):
        (tmp_path / "bad.json").write_text(text)
        assert why in told(tmp_path, "replay", str(tmp_path / "bad.json"), code=1)
    running = edited(
        of(folder, "calculate 1 / 0"),
        tmp_path / "running.json",
        lambda state: state.update(status="running"),
    )
    assert "not whole" in told(tmp_path, "replay", str(running), code=1)


def test_a_file_that_nobody_could_have_exported_is_told_of_like_one_that_differs(
    folder: Path, tmp_path: Path
) -> None:
    """The others of its folder are replayed all the same."""

    def nested(run: Any) -> None:
        run["log"][0]["output"] = json.loads("[" * 600 + "]" * 600)

    good = of(folder, "calculate 1 / 0")
    listed = of(folder, "add todo milk, then show my list")
    edited(listed, tmp_path / "1-deep.json", nested)
    edited(good, tmp_path / "2-partly.json", lambda run: run.pop("limits"))
    edited(good, tmp_path / "3-entry.json", lambda run: run["log"].append({"kind": "mark"}))
    edited(good, tmp_path / "4-good.json", lambda run: None)

    lines = told(tmp_path, "replay", str(tmp_path), "--junit", str(tmp_path / "x"), code=1)

    assert [line.split()[0] for line in lines.splitlines() if ".json  " in line] == [
        *["differs"] * 3,
        "same",
    ]
    assert lines.count("no run has gone like this") == 3
    suite = ElementTree.parse(tmp_path / "x").getroot()
    assert (suite.get("tests"), suite.get("errors")) == ("4", "3")
    assert "no run" in refused(tmp_path, "diff", str(good), str(tmp_path / "3-entry.json"))
