"""docs/keys.md tells the truth: keys are made, a server takes them, and owners are apart."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support import pages
from tests.support.checkout import ROOT
from tests.support.servers.commands.shell import shell_word
from tests.support.servers.server_process import ServerProcess, environment, runwright, serving

PAGE = (pages.DOCS / "keys.md").read_text()
START, CALL = pages.blocks(PAGE, "sh")


def made(name: str, folder: Path) -> tuple[str, str]:
    """A key, and the entry of the server, made as the page says."""
    [(command, printed)] = pages.examples(PAGE)
    done = runwright(*command.replace("alice", name).split()[1:], folder=folder)
    pattern = re.escape(printed.replace("alice", name)).replace("…", "(.+)")
    found = re.fullmatch(pattern, done.stdout)
    assert found, done.stdout
    key, digest = found.groups()
    return f"rw_{key}", f"{name}:{digest}"


def done(line: str, server: ServerProcess, folder: Path, key: str) -> str:
    """What a command of the page prints, with a key in its place."""
    place = server.url.removeprefix("http://")
    command = line.replace("rw_…", key).replace("localhost:8000", place)
    result = subprocess.run(
        ["bash", "-c", f'runwright() {{ {shell_word()} "$@"; }}\n{command}'],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


def test_every_way_to_send_a_key_reaches_what_is_its_owners(tmp_path: Path) -> None:
    (alice, hers), (bob, his) = made("alice", tmp_path), made("bob", tmp_path)
    start = START.replace("alice:…,bob:…", f"{hers},{his}")
    assert start != START
    run = f"runwright() {{ exec {sys.executable} -m api $@; }}\n"
    *calls, command = CALL.splitlines()
    with serving(tmp_path, ["bash", "-c", run + start]) as server:
        task = {"prompt": "add todo milk"}
        headers = {"x-api-key": alice}
        run_id = server.client.post("/runs/wait", json=task, headers=headers).json()["run_id"]

        assert len(calls) == 2
        for line in calls:
            assert run_id in done(line, server, tmp_path, alice)
            assert run_id not in done(line, server, tmp_path, bob)
            assert "milk" not in done(line, server, tmp_path, "rw_none")
        assert '"milk"' in done(command, server, tmp_path, alice)
        assert '"milk"' not in done(command, server, tmp_path, bob)

        answers = {
            name: server.client.get(f"/runs/{run_id}", headers={"x-api-key": key}).status_code
            for name, key in (("alice", alice), ("bob", bob), ("nobody", "rw_none"))
        }
        health = server.client.get("/health").json()
    assert answers == {"alice": 200, "bob": 404, "nobody": 401}
    assert health["storage"] == {"status": "ok"}
