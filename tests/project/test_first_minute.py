"""The first minute of a clone, in earnest: what `make run` installs serves, and asks models."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, packed_checkout
from tests.support.deployment.pins import for_here, read_pins
from tests.support.models.capture_server import capturing, openai_answer
from tests.support.models.llm_runs import plan_text
from tests.support.patience import patience
from tests.support.servers.server_process import environment, serving

# Two installations from the network.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: What a fresh environment has besides, and the project itself.
BESIDE = {"pip", "setuptools", "runwright"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("clone")
    subprocess.run(["tar", "-x"], cwd=folder, input=packed_checkout(), check=True)
    yield folder
    shutil.rmtree(folder)  # pytest would keep 400 MB


def make(clone: Path, target: str) -> str:
    """What it prints."""
    done = subprocess.run(
        ["make", "--no-print-directory", target],  # as where no `make` runs the tests
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=patience(600),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def installed(clone: Path) -> set[str]:
    command = [clone / ".venv" / "bin" / "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout
    return {one["name"].lower().replace("_", "-") for one in json.loads(listed)} - BESIDE


def test_without_a_model_it_serves_with_what_runs_and_nothing_else(
    clone: Path, tmp_path: Path
) -> None:
    [line] = make(clone, ".venv/.installed").splitlines()
    assert line.startswith("installing ")
    assert installed(clone) == for_here(read_pins(ROOT / "constraints.txt"))
    with serving(tmp_path, ["make", "--directory", str(clone), "run"]) as server:
        record = server.settled(server.post("add a todo to buy milk, then show my list"))
        answers = [server.client.get(path).status_code for path in ("/health", "/docs", "/graph")]
    assert record["status"] == "completed"
    assert answers == [200, 200, 200]


def test_with_a_model_and_without_its_client_it_stops_with_one_line(
    clone: Path, tmp_path: Path
) -> None:
    """Started by hand: `make run` would install it."""
    make(clone, ".venv/.installed")
    done = subprocess.run(
        [clone / ".venv" / "bin" / "runwright", "serve"],
        env=environment(tmp_path, models='["openai/gpt-5-mini"]'),
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert "RUNWRIGHT_MODELS is set, but LiteLLM, which asks models, is not installed" in line
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


def test_what_is_added_for_a_model_is_all_that_asking_it_takes(clone: Path, tmp_path: Path) -> None:
    make(clone, "models")
    assert installed(clone) == for_here(read_pins(ROOT / "constraints-models.txt"))
    with capturing() as provider:
        provider.answer = openai_answer(plan_text(("calculator", {"expression": "6 * 7"})))
        models = json.dumps([{"model": "openai/gpt-5-mini", "api_base": f"{provider.url}/v1"}])
        command = ["make", "--directory", str(clone), "run"]
        with serving(tmp_path, command, models=models) as server:
            record = server.settled(server.post("what is 6 times 7"))
    assert record["planned_by"]["model"] == "openai/gpt-5-mini"
    assert record["result"]["output"] == 42
