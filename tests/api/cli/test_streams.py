"""What is given to the command and what it writes: other forms, closed streams, full disks."""

import io
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.servers.commands.call import Called, call
from tests.support.servers.commands.shell import shell_word
from tests.support.servers.server_process import environment

#: What `$R` stands for where Python's own start is part of what is shown.
STARTED = f"{sys.executable} -m api"


def shell(line: str, folder: Path, **variables: str) -> Called:
    """A command as a shell starts it, `$R` being `runwright`; text is read as latin-1."""
    environ = environment(folder) | {"R": shell_word()} | variables
    environ.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        ["sh", "-c", line], cwd=ROOT, env=environ, capture_output=True, check=False
    )
    return Called(done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("latin-1"))


def one_line(told: Called, code: int) -> str:
    assert told.returncode == code, told
    [line] = told.stderr.splitlines()
    assert line.startswith("runwright: ")
    return line


def test_a_task_needs_no_quotes(tmp_path: Path) -> None:
    assert call("run", "what", "is", "2", "+", "2", folder=tmp_path).stdout.endswith("\n4\n")
    assert call("run", "--json", "5 - 3", folder=tmp_path).returncode == 0
    assert call("run", "5", "-", "3", folder=tmp_path).stdout.endswith("\n2\n")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("--version", folder=tmp_path).stdout == f"runwright {version('runwright')}\n"


@pytest.mark.parametrize(
    ("given", "last"),
    [
        (b"what is 2 + 2", "4"),
        (b"what is 2 + 2\r\n", "4"),
        (b"\xef\xbb\xbfwhat is 2 + 2\n", "4"),
        ("add todo Grüße".encode(), "}"),
    ],
)
def test_a_task_is_read_from_the_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bytes, last: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert call("run", "-", folder=tmp_path).stdout.splitlines()[-1] == last


@pytest.mark.parametrize(
    "given",
    [b"", b"\n", b"caf\xe9", b"\xff\xfea\x00", "half \ud800".encode(errors="surrogatepass")],
)
def test_an_input_that_is_no_task_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    one_line(call("run", "-", folder=tmp_path), 2)
    assert not (tmp_path / "runs.db").exists() or given.strip() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "add todo caf\udce9"),
        ("run", "add", "todo", "caf\udce9"),
        ("show", "\udcff"),
        ("list", "--text", "caf\udce9"),
        ("key", "new", "\udcff"),
        ("reject", "x", "--reason", "\udcff"),
        ("cancel", "x", "--url", "http://\udcff"),
    ],
)
def test_an_argument_that_is_no_text_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """As bytes of another encoding reach a program."""
    assert "UTF-8" in one_line(call(*arguments, folder=tmp_path), 2)


def test_output_of_another_encoding_is_escaped(tmp_path: Path) -> None:
    told = shell("$R run 'add todo Grüße ☃' && $R list", tmp_path, PYTHONIOENCODING="latin-1")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[-1].endswith("add todo Grüße \\u2603")


@pytest.mark.parametrize(
    "command", ["run 2 + 2", "run --json 2 + 2", "--help", "--version", "key new ann", "doctor"]
)
def test_output_that_cannot_be_written_is_one_line_and_no_success(
    tmp_path: Path, command: str
) -> None:
    """On a full disk, and where the standard output is closed."""
    for line in (f"$R {command} > /dev/full", f"$R {command} >&-"):
        assert "cannot be written" in one_line(shell(line, tmp_path), 74)


def test_what_is_told_of_a_failure_may_be_lost_and_its_exit_code_is_not(tmp_path: Path) -> None:
    for end in ("2> /dev/full", "2>&-"):
        assert shell(f"$R show x {end}", tmp_path).returncode == 2
    for command in (shell_word(), STARTED):
        assert shell("$R show x 2>&- >&- <&-", tmp_path, R=command).returncode == 74


@pytest.mark.slow
def test_a_list_that_nobody_reads_is_no_traceback(tmp_path: Path) -> None:
    told = shell("$R --help | true; $R run 2+2 >/dev/null; $R list | true", tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
