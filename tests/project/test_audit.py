"""What `make audit` says of the pins: what is known against them, and that it may know nothing."""

import json
import sys
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tests.support.deployment.audit import FILES, audit, read

SOUND = {"name": "a", "version": "1.0", "vulns": []}
MENDED = {"name": "b", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
OPEN = {"name": "c", "version": "3.0", "vulns": [{"id": "GHSA-1", "fix_versions": []}]}
UNKNOWN = {"name": "d", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "told", "code"),
    [
        ([SOUND], ["0 advisories against 1 pins"], 0),
        (
            [SOUND, MENDED, OPEN],
            [
                "b 2.0: PYSEC-1, mended in 2.1",
                "c 3.0: GHSA-1, not mended yet",
                "2 advisories against 3 pins",
            ],
            1,
        ),
        ([SOUND, UNKNOWN], ["0 advisories against 1 pins", "nothing is known of 1 pins: d"], 3),
        (
            [MENDED, UNKNOWN],
            [
                "b 2.0: PYSEC-1, mended in 2.1",
                "1 advisories against 1 pins",
                "nothing is known of 1 pins: d",
            ],
            1,
        ),
        ([], ["0 advisories against 0 pins"], 3),
    ],
)
def test_an_advisory_is_told_and_so_is_what_nothing_is_known_of(
    dependencies: list[dict[str, Any]], told: list[str], code: int
) -> None:
    assert read(dependencies) == (told, code)
    command = [sys.executable, "-c", f"print({json.dumps({'dependencies': dependencies})!r})"]
    assert audit(command=command) == (told, code)


def test_where_nobody_can_be_asked_it_says_that_it_knows_nothing() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such host')"]
    told = ["nothing is known: constraints-dev.txt could not be looked up (no such host)"]
    assert audit(command=command) == (told, 3)


def test_every_file_of_pins_is_asked_about() -> None:
    """What runs is all in the first: another test holds that."""
    own = {f"tests/{file.name}" for file in (ROOT / "tests").glob("*_constraints.txt")}
    assert set(FILES) == {"constraints-dev.txt", *own}


def test_ci_shows_what_is_known() -> None:
    assert "tests.support.deployment.audit" in (ROOT / ".ci" / "run").read_text()
