"""docs/terminal.md tells the truth: its example is run, its commands and exit codes compared."""

import re
from pathlib import Path

import pytest

from api.__main__ import main
from api.cli.command import CANNOT_BEGIN, DETACHED, INTERRUPTED
from api.cli.text import BROKEN_PIPE, OUTPUT_LOST
from tests.support import pages
from tests.support.pages import printed_by
from tests.support.pages import without_numbers_of_the_day as same

PAGE = (pages.DOCS / "terminal.md").read_text()


@pytest.mark.parametrize(("command", "printed"), pages.examples(PAGE), ids=lambda text: text[:40])
def test_the_command_prints_what_the_page_says(tmp_path: Path, command: str, printed: str) -> None:
    assert same(printed_by(command, tmp_path)) == same(printed)


def helped(*command: str, told: pytest.CaptureFixture[str]) -> str:
    """What `--help` prints."""
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return told.readouterr().out


def test_the_table_has_every_command_with_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {
        re.findall(r"`runwright ([a-z]+)", command)[0]: set(re.findall(r"`(--[a-z-]+)", what))
        for command, what in pages.rows(PAGE, "command")
    }
    there = set(re.findall(r"(?m)^    ([a-z]+) ", helped(told=capsys)))
    options = {
        command: set(re.findall(r"--[a-z-]+", helped(command, told=capsys))) - {"--help"}
        for command in there
    }
    assert listed == options


def test_the_table_has_every_exit_code() -> None:
    codes = [int(code) for code, _ in pages.rows(PAGE, "code")]
    assert codes == [0, 1, CANNOT_BEGIN, DETACHED, OUTPUT_LOST, INTERRUPTED, BROKEN_PIPE]
