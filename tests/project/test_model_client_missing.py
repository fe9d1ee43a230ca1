"""With models configured and without their client nothing begins, and what to do is said."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from graph.models.ladder import make_ladder
from graph.settings import InvalidSettings, read_settings
from graph.workbench import open_workbench
from tests.support.checkout import ROOT
from tests.support.patience import patience
from tests.support.servers.commands.call import call
from tests.support.servers.server_process import environment

MODELS = '["openai/gpt-5-mini"]'


@pytest.fixture(params=["litellm", "langchain_litellm"], autouse=True)
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the two is not installed, as far as imports can tell."""
    name: str = request.param
    monkeypatch.setitem(sys.modules, name, None)
    return name


@pytest.mark.slow
@pytest.mark.parametrize("command", [["serve"], ["run", "what is 6 * 7"]], ids=lambda one: one[0])
def test_a_command_stops_with_one_line_and_touches_nothing(
    tmp_path: Path, missing: str, command: list[str]
) -> None:
    """In a process of its own, that a server which is started after all can be ended."""
    hide = f"import sys; sys.modules[{missing!r}] = None"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}; from api.__main__ import main; sys.exit(main({command}))"],
        cwd=ROOT,
        env=environment(tmp_path, models=MODELS),
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert "RUNWRIGHT_MODELS is set, but LiteLLM" in line
    assert "`make models`" in line
    assert "constraints-models.txt" in line
    assert (done.returncode, done.stdout) == (2, "")
    assert not list(tmp_path.iterdir())


async def test_a_workbench_is_not_opened() -> None:
    with pytest.raises(InvalidSettings, match="not installed"):
        await open_workbench(models=["openai/gpt-5-mini"])


def test_the_doctor_says_it_of_the_models(tmp_path: Path) -> None:
    done = call("doctor", "--json", folder=tmp_path, models=MODELS)
    [found] = [one for one in json.loads(done.stdout)["checks"] if one["check"] == "models"]
    assert (found["status"], done.returncode) == ("fails", 1)
    assert "not installed" in found["message"]
    assert "`make models`" in found["message"]


def test_without_models_nobody_misses_it(tmp_path: Path) -> None:
    assert make_ladder(read_settings()) is None
    done = call("run", "what is 6 * 7", folder=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "42")
