"""A user's own tools are found by module or by file, and what hides them is told in one line."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.own_tools.own_files import own_files
from tools.loading import load
from tools.registry import InvalidTool, make_tool

READ = '''\
from tools.registry import tool


@tool(effects=False)
def read_file(name: str) -> str:
    """Read a file."""
    return name
'''


def called(function: Callable[..., Any]) -> Any:
    assert make_tool(function).name == function.__name__
    return function("a")


@pytest.mark.parametrize("place", ["my_tools", "./my_tools.py", "my_tools.py", "{}/my_tools.py"])
def test_a_tool_is_found_in_the_working_folder_by_module_or_by_file(place: str) -> None:
    with own_files({"my_tools.py": READ}) as folder:
        function = load(f"{place.format(folder)}:read_file")
        assert called(function) == "a"


@pytest.mark.parametrize("place", ["tools/files.py", "graph/my.py", "json.py", "two words.py"])
def test_a_file_is_found_whatever_other_modules_are_called(place: str) -> None:
    """A project of one's own may have folders of the names that this one has."""
    with own_files({place: READ, "tools/__init__.py": ""}):
        assert called(load(f"./{place}:read_file")) == "a"


BESIDE = (
    "from {} import words\n\n\ndef tell(name: str) -> str:\n    'Tell.'\n    return words(name)\n"
)
LATER = (
    "def tell(name: str) -> str:\n    'Tell.'\n    from {} import words\n    return words(name)\n"
)
WORDS = "def words(name):\n    return f'{name} beside'\n"


@pytest.mark.parametrize("code", [BESIDE, LATER], ids=["at once", "later"])
@pytest.mark.parametrize("module", ["beside_it", ".beside_it", "package_beside.inner"])
def test_a_file_imports_what_lies_beside_it(code: str, module: str) -> None:
    files = {
        "deep/my.py": code.format(module),
        "deep/beside_it.py": WORDS,
        "deep/package_beside/inner.py": WORDS,
    }
    with own_files(files):
        assert called(load("deep/my.py:tell")) == "a beside"


def test_a_file_imports_what_lies_in_the_working_folder() -> None:
    with own_files({"deep/my.py": BESIDE.format("of_the_project"), "of_the_project.py": WORDS}):
        assert called(load("deep/my.py:tell")) == "a beside"


def test_a_file_that_is_named_twice_is_loaded_once() -> None:
    code = "loaded = []\n\n\ndef one():\n    return loaded\n\n\ndef two():\n    return loaded\n"
    with own_files({"my.py": code}) as folder:
        assert load("./my.py:one")() is load(f"{folder}/deep/../my.py:two")()


def test_files_of_one_name_in_two_folders_are_two_modules() -> None:
    files = {f"{folder}/my.py": f"def tell():\n    return '{folder}'\n" for folder in ("a", "b")}
    with own_files(files):
        assert [load(f"{folder}/my.py:tell")() for folder in ("a", "b")] == ["a", "b"]


def test_a_file_whose_loading_broke_is_loaded_anew() -> None:
    with own_files({"my.py": "raise OSError"}) as folder:
        with pytest.raises(InvalidTool):
            load("./my.py:read_file")
        (folder / "my.py").write_text(f"# mended\n{READ}")
        assert called(load("./my.py:read_file")) == "a"


CLASHES: Mapping[str, Mapping[str, str]] = {
    "tools.files:read_file": {"tools/files.py": READ},
    "tools:read_file": {"tools.py": READ},
    "nodes.calculator:read_file": {"nodes/calculator.py": READ},
    "tools.calculator:calculator": {"tools/calculator.py": "def calculator():\n    return 0\n"},
    "mine:tell": {"mine.py": BESIDE.format("graph.words"), "graph/words.py": WORDS},
    "./mine.py:tell": {"mine.py": BESIDE.format("api.words"), "api/words.py": WORDS},
    "./tools/mine.py:tell": {"tools/mine.py": BESIDE.format("tools"), "tools/__init__.py": WORDS},
    "json:loads": {"json.py": READ},
}


@pytest.mark.parametrize("name", CLASHES)
def test_a_module_that_is_hidden_by_another_one_is_told_so_in_one_line(name: str) -> None:
    with own_files(CLASHES[name]), pytest.raises(InvalidTool) as refused:
        load(name)

    assert str(refused.value).isprintable()
    assert "hides yours" in str(refused.value)


@pytest.mark.parametrize(
    "code",
    ["raise OSError('two\\nlines')", "raise SystemExit('a\\nb')", "def f(:", "x = '\\ud800'\nx.y"],
)
def test_whatever_a_file_does_when_it_is_loaded_is_told_in_one_line(code: str) -> None:
    with own_files({"my.py": code}), pytest.raises(InvalidTool) as refused:
        load("./my.py:read_file")

    assert str(refused.value).isprintable()


def test_folders_of_other_things_hide_nothing() -> None:
    """Where the working folder has no Python in it, a module of that name is an installed one."""
    with own_files({"json/data.txt": ""}):
        assert load("json:loads")("1") == 1
