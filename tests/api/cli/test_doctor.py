"""`runwright doctor` finds what does not work, says how to mend it, and changes nothing."""

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.cli.doctor import database, network
from api.cli.doctor.finding import Finding
from api.cli.doctor.graph import check_studio
from graph.settings import Settings, read_settings
from graph.settings.keys import new_key
from graph.storage.sqlite.schema import VERSION
from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.servers.capture_server import capturing, openai_answer
from tests.support.servers.command_call import Called, call
from tests.support.servers.forked import Forked
from tests.support.servers.server_process import environment, runwright, serving
from tests.support.wording.api.doctor import GRAPHS, told
from tests.support.wording.messages import wording

#: A folder without `langgraph.json`, `.env` or modules is where each examination begins.
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def doctor(
    folder: Path, *arguments: str, cwd: Path | None = None, **settings: str
) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and what was found by the check that found it, in a process of its own."""
    env = {**environment(folder, **settings), "PYTHONPATH": str(ROOT)}
    with Forked(
        ["doctor", "--json", *arguments],
        cwd=cwd or folder,
        env={name: value for name, value in env.items() if name not in KEYS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        with_models="models" in settings,
    ) as process:
        out, err = process.communicate(patience())
        code = process.wait()
    return code, found_by(Called(code, out, err))


def doctor_called(folder: Path, **settings: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The same in this process, where no module is loaded for it."""
    with chdir(folder):
        done = call("doctor", "--json", folder=folder, **settings)
    return done.returncode, found_by(done)


def found_by(done: Called) -> dict[str, list[dict[str, Any]]]:
    answer = json.loads(done.stdout)
    assert answer["ok"] is (done.returncode == 0)
    assert answer["ok"] is all(one["status"] != "fails" for one in answer["checks"])
    found: dict[str, list[dict[str, Any]]] = {}
    for one in answer["checks"]:
        assert (one["mend"] is None) is (one["status"] in ("ok", "skipped"))
        found.setdefault(one["check"], []).append(one)
    return found


def only(found: dict[str, list[dict[str, Any]]], check: str) -> tuple[str, str]:
    """The status of a check that found one thing, and all that is told of it."""
    [one] = found[check]
    return one["status"], f"{one['message']}; {one['mend']}"


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }


@contextmanager
def listening() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_where_all_is_well_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    """One line a check, the database not made; where there is no `langgraph.json`, it does not
    apply.
    """
    code, found = doctor(tmp_path)

    assert code == 0
    assert {check: only(found, check)[0] for check in found} == {
        "settings": "ok",
        "tools": "ok",
        "database": "ok",
        "callers": "ok",
        "port": "ok",
        "langgraph.json": "skipped",
        "models": "ok",
    }
    new = wording("doctor.database.new", folder=tmp_path).replace("/new ", "/runs.db ")
    assert only(found, "database")[1] == f"{new}; None"
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_resembles_none_is_not_taken_for_another(tmp_path: Path) -> None:
    _, found = doctor_called(tmp_path, xyz="1")
    [one] = found["settings"][1:]
    assert f"{one['message']}; {one['mend']}" == wording("doctor.settings.unknown")


def test_for_people_it_prints_a_line_for_each_and_how_to_mend_it(tmp_path: Path) -> None:
    done = runwright("doctor", folder=tmp_path, log="xml", prot="80", tools="no.such:tool")
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (1, "")
    assert lines[:3] == wording("doctor.lines").splitlines()[:3]
    assert lines[-1] == wording("doctor.lines").splitlines()[-1]
    assert all(line.split()[0] in ("ok", "warning", "fails", "skipped") for line in lines[:-1])


def test_a_wrong_setting_hides_only_what_depends_on_it(tmp_path: Path) -> None:
    code, found = doctor_called(tmp_path, port="http", models="[", api_keys="secret-without-a-name")

    assert code == 1
    assert [one["message"].split("=")[0] for one in found["settings"]] == [
        "RUNWRIGHT_PORT",
        "RUNWRIGHT_API_KEYS",
        "RUNWRIGHT_MODELS",
    ]
    assert "secret-without-a-name" not in json.dumps(found)
    assert only(found, "port")[0] == "skipped"
    assert only(found, "callers")[0] == "skipped"
    assert only(found, "models")[0] == "skipped"
    assert only(found, "database")[0] == only(found, "tools")[0] == "ok"


def test_own_tools_are_loaded_from_the_working_folder(tmp_path: Path) -> None:
    """Whatever they print or raise, the JSON stays JSON."""
    (tmp_path / "loud.py").write_text(
        'print("hello")\ndef greet(name: str) -> str:\n    """Greet."""\n    return name\n'
    )
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(7)\n")
    (tmp_path / "shy.py").write_text(
        'def __getattr__(name: str) -> None:\n    raise OSError("no")\n'
    )

    code, found = doctor(tmp_path, tools="loud:greet")
    assert (code, only(found, "tools")[0]) == (0, "ok")
    own = wording("doctor.tools.ok").replace("7", "8").replace("0", "1")
    assert only(found, "tools")[1] == f"{own}; None"

    code, found = doctor(tmp_path, tools="leaving:tool")
    assert code == 1
    assert "'leaving': SystemExit: 7" in only(found, "tools")[1]

    code, found = doctor(tmp_path, tools="shy:tool")
    assert code == 1
    assert "'shy': OSError: no" in only(found, "tools")[1]


def test_own_tools_that_keep_a_server_from_starting_are_told(tmp_path: Path) -> None:
    """Their phrases are read when the graph is built, after the tools were loaded."""
    (tmp_path / "greeting.py").write_text(
        "from tools.registry import tool\n"
        '@tool(phrases=["greet {nmae}"])\n'
        'def greet(name: str) -> str:\n    """Greet."""\n    return name\n'
        '@tool(noun=None)\ndef wave() -> str:\n    """Wave."""\n    return ""\n'
    )
    for function, reason in (("greet", "{nmae}"), ("wave", "'wave'")):
        code, found = doctor(tmp_path, tools=f"greeting:{function}")
        assert (code, only(found, "tools")[0]) == (1, "fails")
        assert reason in only(found, "tools")[1]


def test_a_database_that_is_served_is_told_with_its_server(tmp_path: Path) -> None:
    """The port too, where it is that server's; another database there is a failure."""
    with serving(tmp_path) as server:
        server.settled(server.post("add todo milk"))
        place = server.url.rpartition(":")[2]
        (tmp_path / "else").mkdir()
        code, found = doctor_called(tmp_path, port=place)
        other_code, other = doctor_called(tmp_path / "else", port=place)
        server.settled(server.post("show my list"))  # nothing was taken from it
    status, said = only(found, "database")
    assert (code, status) == (0, "ok")
    assert f"version {VERSION}, 1 run," in said
    assert f"{server.url} (process {server.process.pid})" in said
    served = wording("doctor.port.served", url=server.url)
    assert only(found, "port") == ("ok", f"{served}; None")
    assert (other_code, only(other, "port")[0]) == (1, "fails")
    assert only(other, "port")[1] == wording("doctor.port.other", url=server.url)


def test_what_a_killed_server_left_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.settled(server.post("add todo milk"))
        server.kill()
    before = contents(tmp_path)

    code, found = doctor_called(tmp_path)

    after = contents(tmp_path)
    assert (code, only(found, "database")[0]) == (0, "ok")
    assert "1 run," in only(found, "database")[1]
    killed = wording("doctor.database.killed").rpartition("bytes")[2]
    assert f"bytes{killed}; " in only(found, "database")[1]
    before.pop("runs.db-shm")  # SQLite's index of the log, which every reader makes anew
    after.pop("runs.db-shm")
    assert after == before


def test_a_database_at_rest_is_not_touched(tmp_path: Path) -> None:
    assert call("run", "add todo milk", folder=tmp_path).returncode == 0
    before = contents(tmp_path)

    [finding] = database._check_file(tmp_path / "runs.db")

    assert finding.status == "ok"
    assert "1 run," in finding.message
    assert contents(tmp_path) == before


def of_database(path: Path) -> Finding:
    [finding] = database._check_file(path)
    return finding


def prepared(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as made:
        for statement in statements:
            made.execute(statement)
        made.commit()
    return path


def test_a_file_that_cannot_be_used_is_told_as_what_it_is(tmp_path: Path) -> None:
    ours = f"PRAGMA application_id = {0x52554E57}"
    foreign = prepared(tmp_path / "a", "CREATE TABLE notes (text)")
    newer = prepared(tmp_path / "b", ours, "CREATE TABLE runs (x)", "PRAGMA user_version = 999")
    older = prepared(tmp_path / "c", ours, "CREATE TABLE runs (x)", "PRAGMA user_version = 1")
    (tmp_path / "d").write_text("no database, but long enough to be one " * 9)
    (tmp_path / "e").mkdir()
    os.mkfifo(tmp_path / "f")
    (tmp_path / "g").touch()
    prepared(tmp_path / "h", ours, "CREATE TABLE other (x)", f"PRAGMA user_version = {VERSION}")

    found = {path.name: of_database(path) for path in sorted(tmp_path.iterdir())}
    nowhere = of_database(tmp_path / "no" / "runs.db")

    assert {name: one.status for name, one in found.items()} == {
        **dict.fromkeys("abdefh", "fails"),
        "c": "warning",
        "g": "ok",
    }
    for name, path, key in (
        ("a", foreign, "foreign"),
        ("b", newer, "newer"),
        ("c", older, "older"),
        ("d", tmp_path / "d", "text"),
        ("h", tmp_path / "h", "damaged"),
    ):
        said = wording(f"doctor.database.{key}").replace(f"<folder>/{key}", str(path))
        begin, _, end = said.replace("<version>", str(VERSION)).partition("<size>")
        assert told(found[name]).startswith(begin)
        assert told(found[name]).endswith(end)
    assert nowhere.status == "fails"
    assert told(nowhere) == wording("doctor.database.none", folder=tmp_path).replace("none", "no")


def test_a_database_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever may not write; root may always."""
    path = prepared(tmp_path / "runs.db", "CREATE TABLE runs (x)")
    beside = [tmp_path / f"runs.db{end}" for end in (".lock", ".owner", "-wal", "-shm")]
    for left in beside:
        left.touch()
    for refused in (tmp_path, path, *beside):
        monkeypatch.setattr(os, "access", lambda asked, mode, refused=refused: asked != refused)
        finding = of_database(path)
        assert finding.status == "fails"
        said = wording("doctor.database.unwritable", folder=tmp_path)
        assert told(finding) == said.replace(f": {path} ", f": {refused} ")


def test_little_room_on_the_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    _, finding = database._check_file(tmp_path / "runs.db")

    assert finding.status == "warning"
    assert told(finding) == wording("doctor.database.room", folder=tmp_path)


def test_a_server_that_has_the_database_and_does_not_answer_is_a_warning(tmp_path: Path) -> None:
    with serving(tmp_path) as server, listening() as silent:
        note = {"pid": server.process.pid, "url": f"http://127.0.0.1:{silent}"}
        (tmp_path / "runs.db.owner").write_text(json.dumps(note))
        finding = of_database(tmp_path / "runs.db")
        note["url"] = None
        (tmp_path / "runs.db.owner").write_text(json.dumps(note))
        running = of_database(tmp_path / "runs.db")
    assert finding.status == "warning"
    assert f"http://127.0.0.1:{silent}" in finding.message
    assert running.status == "ok"
    process = wording("doctor.database.process", pid=note["pid"]).rpartition("bytes")[2]
    assert running.message.endswith(process)


def test_a_url_that_names_no_file_and_one_that_keeps_nothing(tmp_path: Path) -> None:
    [wrong] = database.check_database(read_settings(database_url="postgres://x"))
    [memory] = database.check_database(read_settings(database_url="memory://"))

    assert (wrong.status, memory.status) == ("fails", "warning")
    assert told(wrong) == wording("doctor.database.url")
    assert told(memory) == wording("doctor.database.memory")


def test_a_port_that_another_program_has_is_a_failure(tmp_path: Path) -> None:
    with listening() as taken:
        code, found = doctor_called(tmp_path, port=str(taken))
    assert code == 1
    assert only(found, "port")[1] == wording("doctor.port.taken", port=taken)


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_an_address_that_is_not_this_machines_is_a_failure(host: str) -> None:
    [finding] = network.check_port(read_settings(host=host))

    assert finding.status == "fails"
    assert "RUNWRIGHT_HOST" in str(finding.mend)


def of_callers(**settings: Any) -> list[tuple[str, str]]:
    found = network.check_exposure_of(Settings(**settings))
    return [(one.status, told(one)) for one in found]


def of_any(key: str) -> str:
    """What is said of callers where the server listens on every address."""
    return wording(f"doctor.callers.{key}").replace("192.0.2.1", "0.0.0.0")


def test_a_server_that_strangers_could_reach_is_a_failure_or_said_to_be_so() -> None:
    key = new_key("alice")[1]
    assert of_callers(host="0.0.0.0") == [("fails", of_any("closed"))]
    assert of_callers(host="0.0.0.0", open_to_all=True) == [
        ("warning", of_any("opened")),
        ("warning", of_any("unnamed")),
    ]
    assert of_callers(host="0.0.0.0", api_keys=(key,), allowed_hosts="x.example") == [
        ("ok", of_any("keys.wide"))
    ]
    assert of_callers(api_keys=(key,)) == [("ok", of_any("keys"))]


def test_models_are_looked_up_without_being_asked(tmp_path: Path) -> None:
    """A missing key, an unknown provider, a mistyped name, and a price that nobody has."""
    with capturing() as server:
        models = [
            "anthropic/claude-sonnet-4-5",
            "nonsense/model",
            {"model": "openai/gpt-5-mimi", "api_key_env": "MY_KEY"},
            {"model": "openai/own", "api_base": f"{server.url}/v1"},
            {"model": "openai/other", "api_base": f"{server.url}/v1", "api_key_env": "NO_KEY"},
            "ollama/qwen2.5:3b",
            "ollama_chat/qwen2.5:3b",
            "groq/llama-3.3-70b-versatile",
        ]
        os.environ |= {"MY_KEY": "sk-secret", "GROQ_API_KEY": ""}
        try:
            code, found = doctor(
                tmp_path,
                models=json.dumps(models),
                model_prices='{"openai/dear": {"input": 1, "output": 2}}',
            )
        finally:
            del os.environ["MY_KEY"], os.environ["GROQ_API_KEY"]
        assert server.requests == []
    said = [f"{one['message']}; {one['mend']}" for one in found["models"]]
    assert code == 1
    assert [one["status"] for one in found["models"]] == [
        *("fails", "fails", "warning", "ok", "fails", "warning", "ok", "fails", "warning"),
    ]
    key = wording("doctor.model.key").replace("openai/x", "<model>")
    for place, model, variable in (
        (0, "anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        (7, "groq/llama-3.3-70b-versatile", "GROQ_API_KEY"),
    ):
        assert said[place] == key.replace("<model>", model).replace("MY_KEY", variable)
    assert said[1] == wording("doctor.model.provider")
    assert said[2] == wording("doctor.model.alike")
    assert "set NO_KEY" in said[4]
    assert "ollama_chat/qwen2.5:3b" in said[5]
    assert said[8] == wording("doctor.model.price")
    assert "sk-secret" not in json.dumps(found)


def test_where_it_is_asked_for_each_model_is_called_once(tmp_path: Path) -> None:
    """One that answers, one that refuses the key, one that is not there."""
    with listening() as nobody:
        pass
    with capturing() as answering, capturing() as refusing:
        answering.answer = openai_answer('{"ok": true}')
        refusing.status, refusing.answer = 401, {"error": {"message": "no"}}
        models = [
            {"model": "openai/one", "api_base": f"{answering.url}/v1"},
            {"model": "openai/two", "api_base": f"{refusing.url}/v1"},
            {"model": "openai/three", "api_base": f"http://127.0.0.1:{nobody}/v1"},
        ]
        code, found = doctor(tmp_path, "--call-models", models=json.dumps(models))
        assert (len(answering.requests), len(refusing.requests)) == (1, 1)
    one, two, three = found["models"]
    assert (code, one["status"], two["status"], three["status"]) == (1, "ok", "fails", "fails")
    answered = wording("doctor.model.answered").replace("openai/x", "openai/one")
    assert one["message"].startswith(answered.partition("<seconds>")[0])
    for finding, name, error_class in (
        (two, "two", "unauthorized"),
        (three, "three", "unreachable"),
    ):
        failed = wording(f"doctor.model.{error_class}").replace("openai/x", f"openai/{name}")
        assert f"{finding['message']}; {finding['mend']}" == failed


def test_a_complex_model_without_models_is_a_warning(tmp_path: Path) -> None:
    code, found = doctor_called(tmp_path, model_complex="openai/gpt-5-mini")

    assert (code, only(found, "models")[0]) == (0, "warning")
    assert only(found, "models")[1] == wording("doctor.model.complex")


def test_the_graph_of_this_projects_langgraph_json_loads(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, cwd=ROOT)

    assert (code, only(found, "langgraph.json")[0]) == (0, "ok")
    loads = wording("doctor.graph.ok").partition(" ")[2]
    assert only(found, "langgraph.json")[1] == f"runwright: {loads}; None"


@pytest.mark.parametrize(("key", "text"), GRAPHS.items(), ids=GRAPHS)
def test_a_langgraph_json_that_does_not_load_is_a_failure(
    tmp_path: Path, key: str, text: str
) -> None:
    (tmp_path / "langgraph.json").write_text(text)
    (tmp_path / "made.py").write_text("number = 3\n")
    (tmp_path / "broken.py").write_text("graph = 1 / 0\n")

    [finding] = check_studio(tmp_path)

    assert finding.status == "fails"
    assert told(finding) == wording(f"doctor.graph.{key}").replace("<folder>", str(tmp_path))
