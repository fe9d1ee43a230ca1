"""`make` installs what a target needs, says so in a line, and takes no failed install for done.

With a Python that only notes what it is asked to do; `test_first_minute.py` installs in earnest.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.databases import place
from tests.support.deployment.pins import for_here, megabytes, read_pins
from tests.support.patience import patience

#: It makes an environment that has itself in it, and a server that only says that it serves.
PYTHON = """#!/bin/sh
echo "$*" >> asked
case "$*" in
  "-m venv .venv")
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python
    printf '#!/bin/sh\\necho serving\\n' > .venv/bin/runwright
    chmod +x .venv/bin/runwright ;;
  *"-r $(cat broken)")
    echo "ERROR: not to be had" >&2
    exit 1 ;;
esac
"""


class Checkout:
    """A folder with what `make` reads; `broken` is the file of pins that cannot be installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for file in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("constraints*.txt")):
            shutil.copy(file, folder)
        (folder / "python").write_text(PYTHON)
        (folder / "python").chmod(0o755)
        self.break_pins("")

    def break_pins(self, name: str) -> None:
        (self.folder / "broken").write_text(name)

    def make(self, target: str, **settings: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "asked").write_text("")
        return subprocess.run(
            ["make", target, "PYTHON=./python"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], **settings},  # nothing of a `make` that runs the tests
            capture_output=True,
            text=True,
            timeout=patience(60),
            check=False,
        )

    @property
    def installed(self) -> list[str]:
        """The files of pins that the last `make` installed from, in their order."""
        return re.findall(r"-r (\S+)", (self.folder / "asked").read_text())


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def pins_for_here(which: str = "") -> set[str]:
    return for_here(read_pins(ROOT / f"constraints{which}.txt"))


def assert_told(line: str, packages: set[str]) -> None:
    """It has their number, and about what they weigh where the tests run."""
    [(count, size)] = re.findall(
        r"^installing (\d+) (?:more )?packages \((\d+) MB\) into \.venv, about .+ \.\.\.$", line
    )
    assert int(count) == len(packages)
    assert float(size) == pytest.approx(megabytes(packages), rel=0.15)


def test_the_first_run_says_in_one_line_what_it_installs(checkout: Checkout) -> None:
    made = checkout.make("run")
    told, *others = made.stdout.splitlines()
    assert_told(told, pins_for_here())
    assert (others, made.stderr, made.returncode) == (["serving"], "", 0)
    assert checkout.installed == ["constraints.txt"]


def test_the_next_run_installs_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.make("run")
    assert checkout.make("run").stdout == "serving\n"
    assert checkout.installed == []


def test_the_client_of_models_comes_with_the_first_run_that_has_a_model(checkout: Checkout) -> None:
    """Also where the server has run without."""
    checkout.make("run")
    models = '["openai/$x"]'
    told, *others = checkout.make("run", RUNWRIGHT_MODELS=models).stdout.splitlines()
    assert_told(told, pins_for_here("-models") - pins_for_here())
    assert others == ["serving"]
    assert checkout.installed == ["constraints-models.txt"]
    assert checkout.make("run", RUNWRIGHT_MODELS=models).stdout == "serving\n"


def test_what_servers_need_comes_with_the_first_run_that_has_some(checkout: Checkout) -> None:
    checkout.make("run")
    told, *others = checkout.make("run", RUNWRIGHT_MCP="mcp.json").stdout.splitlines()
    assert_told(told, pins_for_here("-mcp") - pins_for_here())
    assert others == ["serving"]
    assert checkout.installed == ["constraints-mcp.txt"]


def test_what_exports_traces_comes_with_the_first_run_that_does(checkout: Checkout) -> None:
    assert checkout.make("run", RUNWRIGHT_TRACES="off").stdout.splitlines()[1:] == ["serving"]
    told, *others = checkout.make("run", RUNWRIGHT_TRACES="otlp").stdout.splitlines()
    assert_told(told, pins_for_here("-otel") - pins_for_here())
    assert others == ["serving"]
    assert checkout.installed == ["constraints-otel.txt"]


def test_the_driver_of_postgres_comes_with_the_first_run_that_keeps_runs_there(
    checkout: Checkout,
) -> None:
    checkout.make("run", RUNWRIGHT_DATABASE_URL="sqlite:///runs.db")
    url = "postgresql://me:a$b@host/runs"
    told, *others = checkout.make("run", RUNWRIGHT_DATABASE_URL=url).stdout.splitlines()
    assert_told(told, pins_for_here("-postgres") - pins_for_here())
    assert others == ["serving"]
    assert checkout.installed == ["constraints-postgres.txt"]


def test_the_page_about_models_says_what_they_add() -> None:
    page = (ROOT / "docs" / "multi_provider_llm.md").read_text()
    [(models, running)] = re.findall(r"it is (\d+) MB, beside (\d+)\.", page)
    makefile = (ROOT / "Makefile").read_text()
    assert f"constraints.txt,,{running} MB" in makefile
    assert f"constraints.txt,{models} MB" in makefile


@pytest.mark.parametrize("target", ["dev", "lint", "test", "studio", "notebook"])
def test_what_developers_use_installs_all(checkout: Checkout, target: str) -> None:
    """The client of models, too, which no later run has to add."""
    first, second, *_ = checkout.make(target).stdout.splitlines()
    assert_told(first, pins_for_here())
    assert_told(second, pins_for_here("-dev") - pins_for_here())
    assert checkout.installed == ["constraints.txt", "constraints-dev.txt"]
    assert checkout.make("run", RUNWRIGHT_MODELS='["openai/x"]').stdout == "serving\n"


@pytest.mark.parametrize("broken", ["constraints.txt", "constraints-models.txt"])
def test_a_failed_install_is_shown_and_tried_again(checkout: Checkout, broken: str) -> None:
    checkout.break_pins(broken)
    for _ in range(2):
        failed = checkout.make("run", RUNWRIGHT_MODELS='["openai/x"]')
        assert failed.returncode != 0
        assert "ERROR: not to be had" in failed.stderr
        assert "serving" not in failed.stdout
        assert checkout.installed[-1] == broken
    checkout.break_pins("")
    mended = checkout.make("run", RUNWRIGHT_MODELS='["openai/x"]')
    assert mended.stdout.endswith("serving\n")
    assert checkout.installed[-1] == "constraints-models.txt"


def test_a_changed_project_is_installed_anew_without_a_word(checkout: Checkout) -> None:
    """What its pins are, they stay."""
    checkout.make("run")
    stamp = (checkout.folder / ".venv" / ".installed").stat().st_mtime
    os.utime(checkout.folder / "pyproject.toml", (stamp + 1, stamp + 1))
    os.utime(checkout.folder / "constraints.txt", (stamp - 1, stamp - 1))
    assert checkout.make("run").stdout == "serving\n"
    assert checkout.installed == ["constraints.txt"]


def test_what_tests_store_lies_in_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, free = Path(tempfile.gettempdir()), shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(place, "ROOM", free // 2)
    assert place.place(tmp_path) == tmp_path
    assert place.place(tmp_path / "none") == usual
    monkeypatch.setattr(place, "ROOM", free * 2)
    assert place.place(tmp_path) == usual
