"""The counters of the benchmark of the house, on a small planted project."""

import asyncio
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.house import imports, sizes, words
from benchmarks.house.private_words import WORDS, Word
from benchmarks.house.tracing import Mark, Tracer
from benchmarks.house.tree import Tree

Plant = Callable[[dict[str, str]], Tree]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Makes a project of the packages `top` and `base`, whose leaf is `top.state`."""

    def planted(files: dict[str, str]) -> Tree:
        for place, text in files.items():
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Tree(tmp_path, ("top", "base"), leaf="top.state")

    return planted


# Sizes


def test_files_are_counted_beside_the_init_and_lines_with_those_of_word_tables(
    plant: Plant,
) -> None:
    measured = sizes.measure(
        plant(
            {
                "top/__init__.py": '"""Top."""\n',
                "top/__main__.py": "1\n" * 3,
                "top/small.py": "1\n" * 59,
                "top/fit.py": "1\n" * 60,
                "base/large.py": "1\n" * 401,
                "base/english/verbs.txt": "go\nrun\n",
                "base/__pycache__/large.txt": "no\n",
                "other/file.py": "1\n",
            }
        )
    )

    assert sorted(measured.modules.values()) == [3, 59, 60, 401]
    assert (measured.lines, measured.lines_beside_doors) == (526, 525)
    assert (measured.median, measured.largest) == (59.5, ("base/large.py", 401))
    assert measured.short == {"top/small.py": 59}
    assert measured.long == {"base/large.py": 401}
    assert measured.tables == {"base/english/verbs.txt": 2}


def test_a_listing_has_the_entries_of_one_folder_but_its_init_and_caches(plant: Plant) -> None:
    files = ["top/__init__.py", "top/a.py", "top/b.py", "top/__pycache__/a.pyc", "top/.hidden"]
    files += ["top/room/c.py", "base/d.py", "tests/test_a.py", "tests/room/x.json"]
    measured = sizes.measure(plant(dict.fromkeys(files, "")))

    assert [str(listing) for listing in measured.listings] == [
        "3 (top)",
        "1 (base)",
        "1 (top/room)",
    ]
    assert [str(listing) for listing in measured.test_listings] == ["2 (tests)", "1 (tests/room)"]


# Imports


def test_several_imports_of_one_module_are_one_arrow_wherever_they_stand(plant: Plant) -> None:
    measured = imports.measure(
        plant(
            {
                "top/__init__.py": "",
                "top/a.py": "from top import b\nfrom top.b import x\nimport json\nimport top.a\n",
                "top/b.py": "def late():\n    import base.c\n    from base.c import y\n",
                "base/c.py": "from unknown import z\n",
            }
        )
    )

    assert measured.modules == {("top.a", "top.b"), ("top.b", "base.c")}
    assert (measured.inside("top"), measured.circles) == (1, [])


def test_modules_that_import_each_other_through_others_are_a_circle(plant: Plant) -> None:
    measured = imports.measure(
        plant(
            {
                "top/a.py": "import top.b",
                "top/b.py": "import top.c",
                "top/c.py": "import top.a, top.d",
                "top/d.py": "",
            }
        )
    )

    assert measured.circles == measured.room_circles == [["top.a", "top.b", "top.c"]]


def test_rooms_can_make_a_circle_where_no_modules_do(plant: Plant) -> None:
    measured = imports.measure(
        plant(
            {
                "top/left/a.py": "import top.right.b\nimport top.right.c",
                "top/left/d.py": "",
                "top/right/b.py": "",
                "top/right/c.py": "import top.left.d\nimport top.right.b",
            }
        )
    )

    assert measured.circles == []
    assert measured.room_circles == [["top.left", "top.right"]]
    assert (measured.inside("top"), measured.between_rooms("top")) == (4, 2)


def test_what_a_folder_says_itself_is_a_room_in_it(plant: Plant) -> None:
    measured = imports.measure(
        plant(
            {
                "top/room/__init__.py": "from top.room.inner import x",
                "top/room/inner.py": "from top.room import y",
            }
        )
    )

    assert measured.circles == [["top.room", "top.room.inner"]]
    assert measured.room_circles == [["top.room.__init__", "top.room.inner"]]


def test_the_leaf_may_be_read_from_below_and_nothing_else(plant: Plant) -> None:
    files = {
        "top/state/run.py": "",
        "top/a.py": "import base.c\nimport top.state.run",
        "top/b.py": "",
        "base/c.py": "import top.state.run",
    }
    measured = imports.measure(plant(files))

    assert measured.room_circles == []
    assert measured.between_rooms("top") == 1
    assert measured.between_rooms("top", leaf=False) == 0
    assert imports.measure(plant(files | {"base/c.py": "import top.b"})).room_circles == [
        ["base", "top"]
    ]


# Words

PURSE = Word("purse", "BudgetGuard", code="_?[Pp]urses?", prose="purses?")
WAITS = Word("Waits", "AwaitingApproval", code="Waits")
FRAME = Word("frame", "template", code="frames?", prose="frames?", within=("base",), pages=False)


def left(tree: Tree, *known: Word) -> list[tuple[str, str, str]]:
    return [(one.word, one.place, one.text) for one in words.measure(tree, known)]


def test_a_word_is_found_in_names_docstrings_comments_and_pages_but_not_in_strings(
    plant: Plant,
) -> None:
    module = '"""A purse,\nand `Purse`."""\n# purses\nname = self._purse("purse")\n'
    tree = plant(
        {
            "top/purse.py": module,
            "README.md": "A purse; expurse.\n\n```\npurse\n```\n",
            "docs/page.md": "| `purse` |\n",
        }
    )

    assert sorted(left(tree, PURSE)) == [
        ("purse", "README.md", "purse"),
        ("purse", "docs/page.md", "purse"),
        *[
            ("purse", "top/purse.py", text)
            for text in ("Purse", "_purse", "purse", "purse", "purses")
        ],
    ]


def test_a_word_that_is_plain_english_counts_only_as_a_name(plant: Plant) -> None:
    tree = plant(
        {"top/a.py": '"""Waits for it, or raises `Waits`."""\nraise Waits\n', "README.md": "Waits"}
    )

    assert left(tree, WAITS) == [("Waits", "top/a.py", "Waits")] * 2


def test_a_word_counts_only_in_the_folders_that_it_is_private_in(plant: Plant) -> None:
    tree = plant({"top/a.py": "frame", "base/b.py": "frame # frames", "docs/a.md": "frame"})

    assert left(tree, FRAME) == [("frame", "base/b.py", "frame"), ("frame", "base/b.py", "frames")]


def test_what_an_f_string_computes_is_code(plant: Plant) -> None:
    tree = plant({"top/a.py": 'text = f"purse {purse:>{width}} purse"\nf"""\n{1}"""\npurse = 1\n'})

    assert left(tree, PURSE) == [("purse", "top/a.py", "purse")] * 2
    assert [one.line for one in words.measure(tree, [PURSE])] == [1, 4]


def test_no_place_counts_for_two_words_and_every_word_has_its_count(plant: Plant) -> None:
    also = Word("also", "guard", code=r"\w*purse")
    found = words.measure(plant({"top/a.py": "_purse = big_purse\n"}), [PURSE, also, WAITS])

    assert words.counts(found, [PURSE, also, WAITS]) == {"purse": 1, "also": 1, "Waits": 0}


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.name)
def test_every_word_can_be_found_and_does_not_count_what_replaces_it(word: Word) -> None:
    text = words.as_code if word.code else words.as_prose
    instead = {part.strip() for part in word.instead.split(",")}

    assert word.code or word.prose
    assert not [part for part in instead if text(word).search(part)]


# Files entered

WATCHED = """
def called(): return (lambda: 1)()
async def waiting(event): await event.wait()
"""


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def watched(plant: Plant) -> tuple[Tree, dict[str, Any]]:
    """A planted project with the modules `a`, `b`, `c` and the `__init__`, imported."""
    names = ("a", "b", "c", "__init__")
    tree = plant({f"top/{name}.py": WATCHED for name in names} | {"other/d.py": WATCHED})
    paths = [*tree.modules(), tree.root / "other" / "d.py"]
    return tree, {path.stem: load(path) for path in paths}


def test_a_file_is_entered_when_a_function_of_it_is_called_in_any_thread(
    watched: tuple[Tree, dict[str, Any]],
) -> None:
    tree, modules = watched
    with Tracer(tree=tree).installed() as tracer:
        modules["c"].called()
        with tracer.noting() as entered:
            modules["b"].called()
            thread = threading.Thread(target=modules["a"].called)
            thread.start()
            thread.join()
            modules["__init__"].called()
            modules["d"].called()
            load(tree.root / "top" / "c.py")
        modules["c"].called()

    assert entered.files == {"top/b.py": "called", "top/a.py": "called"}


def test_a_mark_tells_what_was_entered_before_it(watched: tuple[Tree, dict[str, Any]]) -> None:
    tree, modules = watched
    called = Mark("called", "top/b.py", "called")
    returned = Mark("returned", "top/b.py", "called", "return")
    never = Mark("never", "top/c.py", "called")
    with Tracer([called, returned, never], tree).installed() as tracer, tracer.noting() as entered:
        for name in ("a", "b", "a", "b"):
            modules[name].called()

    assert entered.until(called) == ["top/a.py"]
    assert entered.until(returned) == ["top/a.py", "top/b.py"]
    assert entered.until(never) is None


async def test_what_goes_on_is_entered_and_what_an_ignored_task_enters_is_not(
    watched: tuple[Tree, dict[str, Any]],
) -> None:
    tree, modules = watched
    event = asyncio.Event()
    task = asyncio.create_task(modules["a"].waiting(event))
    await asyncio.sleep(0)
    tracer = Tracer(tree=tree)
    with tracer.installed(), tracer.noting(ignored=asyncio.current_task()) as entered:
        modules["b"].called()
        event.set()
        await task
        tracer.ignore_nothing()
        modules["c"].called()

    assert [*entered.files] == ["top/a.py", "top/c.py"]
