"""`runwright doctor` opens what a start opens, and tells what that says."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from graph.settings.configured import new_key
from graph.storage.sqlite.schema import VERSION
from tests.support.checkout import ROOT
from tests.support.models.capture_server import capturing, openai_answer
from tests.support.own_tools.mcp_files import mcp_file, rude
from tests.support.patience import patience
from tests.support.servers.commands.call import Called, call
from tests.support.servers.forks.forked import Forked
from tests.support.servers.server_process import environment, runwright, serving
from tests.support.wording.messages import wording

#: None of these is there where an examination begins.
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
        found.setdefault(one["check"], []).append(one)
    return found


def only(found: dict[str, list[dict[str, Any]]], check: str) -> tuple[str, str]:
    """The status of a check that found one thing, and all that is told of it."""
    [one] = found[check]
    return one["status"], str(one["message"])


@contextmanager
def listening() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_where_all_is_well_a_start_will_work(tmp_path: Path) -> None:
    """The database is there then, as after a start."""
    code, found = doctor(tmp_path)

    assert code == 0
    assert {check: only(found, check)[0] for check in found} == dict.fromkeys(
        ("settings", "tools", "database", "port", "models"), "ok"
    )
    url = f"sqlite:///{tmp_path}/runs.db"
    assert only(found, "database")[1] == wording("doctor.database.ok", url=url)
    with closing(sqlite3.connect(tmp_path / "runs.db")) as made:
        assert made.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_setting_that_resembles_none_is_not_taken_for_another(tmp_path: Path) -> None:
    code, found = doctor_called(tmp_path, xyz="1")

    assert code == 1
    assert only(found, "settings") == ("fails", wording("doctor.settings.unknown"))


def test_for_people_it_prints_a_line_for_each(tmp_path: Path) -> None:
    done = runwright("doctor", folder=tmp_path, log="xml", prot="80")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.rstrip("\n") == wording("doctor.lines")


def test_with_wrong_settings_nothing_else_is_opened(tmp_path: Path) -> None:
    code, found = doctor_called(tmp_path, port="http", models="[", api_keys="secret-without-a-name")

    assert code == 1
    assert list(found) == ["settings"]
    assert [one["message"].split("=")[0] for one in found["settings"]] == [
        "RUNWRIGHT_PORT",
        "RUNWRIGHT_API_KEYS",
        "RUNWRIGHT_MODELS",
    ]
    assert "secret-without-a-name" not in json.dumps(found)
    assert list(tmp_path.iterdir()) == []


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
    own = wording("doctor.tools.ok").replace("7", "8").replace("0", "1")
    undeclared = wording("in_doubt.undeclared.one", tool="greet")
    told = [(one["status"], one["message"]) for one in found["tools"]]
    assert (code, told) == (0, [("warning", undeclared), ("ok", own)])

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


def test_own_tools_of_a_project_with_folders_like_ours(tmp_path: Path) -> None:
    """By file they are loaded; by module one line says why they cannot be."""
    (tmp_path / "tools").mkdir()
    for name, imported in (("files.py", "beside"), ("lost.py", "tools.beside")):
        (tmp_path / "tools" / name).write_text(
            f"from {imported} import NAME\n\n\n"
            'def read_file(name: str) -> str:\n    """Read."""\n    return NAME\n'
        )
    (tmp_path / "tools" / "beside.py").write_text("NAME = 'a'\n")
    code, found = doctor(tmp_path, tools="./tools/files.py:read_file")
    assert (code, [one["status"] for one in found["tools"]]) == (0, ["warning", "ok"])
    for tool in ("tools.files:read_file", "./tools/lost.py:read_file"):
        code, found = doctor(tmp_path, tools=tool)
        assert (code, only(found, "tools")[0]) == (1, "fails")
        assert "'tools' is a package of Runwright" in only(found, "tools")[1]


def test_a_package_that_python_finds_instead_of_ours_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "__init__.py").write_text("")
    code = "import sys; from api.__main__ import main; sys.path.insert(0, sys.argv[1]); "
    code += "sys.exit(main(['doctor']))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("runwright: 'nodes' is a package of Runwright, but ")


def test_a_database_that_is_served_is_told_with_its_server(tmp_path: Path) -> None:
    """The port too, where it is that server's; at another's it is taken."""
    with serving(tmp_path) as server:
        server.settled(server.post("add todo milk"))
        place = server.url.rpartition(":")[2]
        (tmp_path / "else").mkdir()
        code, found = doctor_called(tmp_path, port=place)
        other_code, other = doctor_called(tmp_path / "else", port=place)
        server.settled(server.post("show my list"))  # nothing was taken from it
    owned = wording("storage.owned.server", path=tmp_path / "runs.db", url=server.url)
    assert code == 0
    assert only(found, "database") == ("ok", owned.replace("<pid>", str(server.process.pid)))
    assert only(found, "port")[0] == "ok"
    assert (other_code, only(other, "port")[0]) == (1, "fails")


@pytest.mark.parametrize("kept", [True, False])
def test_a_database_that_cannot_be_used_is_told_as_a_start_tells_it(
    tmp_path: Path, kept: bool
) -> None:
    url = f"sqlite:///{tmp_path}/none/runs.db" if kept else "mysql://x"
    code, found = doctor_called(tmp_path, database_url=url)
    started = call("serve", folder=tmp_path, database_url=url)

    assert (code, only(found, "database")[0]) == (1, "fails")
    assert started.stderr == f"runwright: {only(found, 'database')[1]}\n"


def test_a_port_that_another_program_has_is_a_failure(tmp_path: Path) -> None:
    with listening() as taken:
        code, found = doctor_called(tmp_path, port=str(taken))

    assert (code, only(found, "port")[0]) == (1, "fails")
    assert f"127.0.0.1:{taken}" in only(found, "port")[1]


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid"])
def test_an_address_that_is_not_this_machines_is_a_failure(tmp_path: Path, host: str) -> None:
    code, found = doctor_called(tmp_path, host=host, open_to_all="true")

    assert (code, only(found, "port")[0]) == (1, "fails")


def test_a_server_that_strangers_could_reach_is_a_failure_unless_it_is_meant(
    tmp_path: Path,
) -> None:
    ways = {"": {}, "keys": {"api_keys": str(new_key("alice")[1])}, "all": {"open_to_all": "true"}}
    found = {
        way: only(doctor_called(tmp_path, host="0.0.0.0", **settings)[1], "port")[0]
        for way, settings in ways.items()
    }

    assert found == {"": "fails", "keys": "ok", "all": "ok"}


@pytest.mark.slow
def test_models_are_loaded_without_being_asked(tmp_path: Path) -> None:
    """Where a key is missing, it is said so."""
    with capturing() as server:
        models = [
            "anthropic/claude-sonnet-4-5",
            {"model": "openai/gpt-5-mini", "api_key_env": "MY_KEY"},
            {"model": "openai/own", "api_base": f"{server.url}/v1"},
            {"model": "openai/other", "api_base": f"{server.url}/v1", "api_key_env": "NO_KEY"},
            "ollama_chat/qwen2.5:3b",
            "groq/llama-3.3-70b-versatile",
        ]
        os.environ |= {"MY_KEY": "sk-secret", "GROQ_API_KEY": ""}
        try:
            code, found = doctor(tmp_path, models=json.dumps(models))
        finally:
            del os.environ["MY_KEY"], os.environ["GROQ_API_KEY"]
        assert server.requests == []
    assert code == 1
    assert [one["status"] for one in found["models"]] == [
        *("fails", "ok", "ok", "fails", "ok", "fails"),
    ]
    missing = wording("doctor.model.missing").replace("openai/x", "<model>")
    for place, model, variable in (
        (0, "anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        (3, "openai/other", "NO_KEY"),
        (5, "groq/llama-3.3-70b-versatile", "GROQ_API_KEY"),
    ):
        said = missing.replace("<model>", model).replace("MY_KEY", variable)
        assert found["models"][place]["message"] == said
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
    assert two["message"] == "openai/two: unauthorized"
    assert three["message"] == "openai/three: unreachable"


def test_each_server_is_told_by_what_it_has_or_why_it_is_not_there(tmp_path: Path) -> None:
    servers = {"rude": rude(tmp_path, "schemas"), "gone": {"command": "there-is-no-such-command"}}
    code, found = doctor_called(tmp_path, mcp=str(mcp_file(tmp_path, **servers)))
    told = {(one["status"], one["message"].partition(" ")[0]) for one in found["mcp"]}
    assert code == 0
    assert told == {("ok", "rude:"), ("warning", "rude:"), ("warning", "gone")}


def test_a_server_writes_nothing_to_the_terminal_by_its_names(tmp_path: Path) -> None:
    """Neither what was found nor a line of the log."""
    file = mcp_file(tmp_path, rude=rude(tmp_path, "escapes"), other=rude(tmp_path, "paints"))
    with chdir(tmp_path):
        done = call("doctor", folder=tmp_path, mcp=str(file))
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    assert any("painted" in one for one in lines)
    assert all(one.isprintable() for one in lines)


def test_a_file_without_servers_is_told(tmp_path: Path) -> None:
    code, found = doctor_called(tmp_path, mcp=str(tmp_path / "none.json"))
    status, message = only(found, "mcp")
    assert (code, status) == (1, "fails")
    assert "none.json" in message
