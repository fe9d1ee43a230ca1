"""A user's own tools, named as `module:function` or `./file.py:function`, and the package's.

Which of them say nothing of their effects is found here, too.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from tools import calculator, todos
from tools.registry import InvalidTool
from tools.toolbox import Tool

#: The packages of this program; a module of the same name beside a user's tools is hidden by them.
OWN_PACKAGES = ("api", "graph", "nodes", "tools")


def load(name: str) -> Callable[..., Any]:
    """The function behind `module:function` or `path/to/file.py:function`.

    A module is looked up from the working folder as well; a path is one from there, and the file
    finds what lies beside it. Raises `InvalidTool` with what could not be found, in one line.
    """
    place, _, function_name = name.rpartition(":")
    if not place or not function_name:
        raise InvalidTool(f"{name!r} names no tool; write module:function or ./file.py:function")
    here = str(Path.cwd())
    if here not in sys.path:  # a console script, unlike `python -m`, does not look there
        sys.path.append(here)
    is_file = place.endswith(".py") or "/" in place or "\\" in place
    try:
        module = _from_file(Path(place)) if is_file else _by_name(place)
        function = getattr(module, function_name, None)
    except InvalidTool as error:
        raise InvalidTool(f"{name!r}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        hint = f"; {_hidden(package)}" if (package := _own_package(error)) else ""
        raise InvalidTool(f"{name!r}: cannot import {place!r}: {reason}{hint}") from error
    if not callable(function):
        raise InvalidTool(f"{name!r}: {place!r} has no function {function_name!r}")
    return function  # type: ignore[no-any-return]  # callable() proves no more


def _by_name(name: str) -> ModuleType:
    """The module; where another one hides that of the working folder, it says so."""
    here, package = Path.cwd(), name.partition(".")[0]
    if _holds(here, package) and not _found_in(here, package):
        file = f"./{name.replace('.', '/')}.py"
        raise InvalidTool(f"{_hidden(package)}, or name its file as {file}:function")
    return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    """The module of a file, loaded once however often it is named."""
    file = path.expanduser().resolve()
    if not file.is_file():
        raise InvalidTool(f"there is no file {file}")
    # In a package of its own, so that no name of a file meets that of another module, and a
    # relative import finds what lies beside it.
    package = f"runwright_tools_{sha256(str(file.parent).encode()).hexdigest()[:12]}"
    name = f"{package}.{file.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    if package not in sys.modules:
        folder = ModuleType(package, "The folder of a user's tools.")
        folder.__path__ = [str(file.parent)]
        sys.modules[package] = folder
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InvalidTool(f"{file} is no file of Python; its name ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _looked_up_first(file.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _looked_up_first(folder: Path) -> Iterator[None]:
    """As for a script of the folder: first while it is loaded, for what it imports later at last.

    Not first for ever: what Python and this program load later must not meet a user's modules.
    """
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with suppress(ValueError):  # a module may have changed the list itself
            sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _own_package(error: BaseException) -> str | None:
    """The package of ours in which a user's module looked for one of its own."""
    package = (getattr(error, "name", None) or "").partition(".")[0]
    return package if isinstance(error, ImportError) and package in OWN_PACKAGES else None


def _holds(folder: Path, package: str) -> bool:
    return (folder / f"{package}.py").is_file() or any((folder / package).glob("*.py"))


def _found_in(folder: Path, package: str) -> bool:
    """Whether it is what Python finds by that name."""
    spec = importlib.util.find_spec(package)
    places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else []
    return any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places if place)


def _hidden(package: str) -> str:
    whose = "a package of Runwright" if package in OWN_PACKAGES else "another module"
    return f"{package!r} is {whose}, which hides yours of that name; rename yours"


# Tools that say nothing of their effects.


def undeclared(tools: Mapping[str, Tool]) -> list[str]:
    """The names of the tools that do not say what their effects are, so that the worst holds."""
    return [name for name, one in tools.items() if not one.declared]


def undeclared_words(names: Sequence[str]) -> str:
    """What to say of tools that declare nothing."""
    one = len(names) == 1
    return (
        f"{', '.join(names)}: {'this tool does' if one else 'these tools do'} not say whether"
        f" {'it changes' if one else 'they change'} something (effects) or may be called twice"
        " (idempotent): after a timeout or a crash a person is asked"
    )


# The tools that come with the package, one line each.


def builtin(most_todos: int = todos.MOST) -> tuple[Callable[..., Any], ...]:
    """The tools, by which an owner may have so many to-dos; 0 is any number."""
    return (
        calculator.calculator,
        todos.adding(most_todos),
        *todos.TODO_TOOLS[1:],
    )


BUILTIN = builtin()
