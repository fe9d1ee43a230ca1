"""What a server lists, as tools: their names, what their hints declare, and which are left out."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tools.mcp.bounds import MAX_STEPS
from tools.mcp.definitions import ServerDefinition, ToolOverride
from tools.registry import InvalidTool, Tool, ToolCall
from tools.schema_budget import Budget
from tools.schema_tool import SchemaTool, check_schema

if TYPE_CHECKING:
    from mcp.types import Tool as Listed
    from mcp.types import ToolAnnotations

#: Calls a tool of the server by the server's own name for it.
Call = Callable[[str, Mapping[str, Any], ToolCall | None], Awaitable[Any]]

#: What the runtime's part of a call is called beside the arguments.
_ASKED = "runwright.call"

#: Longest name and description that are taken over, in characters.
MAX_NAME, MAX_DESCRIPTION = 128, 4_000


@dataclass(frozen=True)
class Hints:
    """What the server's annotations say, for who believes them; `declared`: anything at all."""

    effects: bool = True
    idempotent: bool = False
    declared: bool = False


def hints_of(annotations: "ToolAnnotations | None") -> Hints:
    """Where nothing is said, it may change anything, and must not be repeated."""
    if annotations is None:
        return Hints()
    if annotations.read_only_hint:
        return Hints(effects=False, idempotent=True, declared=True)
    said = (annotations.read_only_hint, annotations.idempotent_hint, annotations.destructive_hint)
    # The hint speaks of the same arguments again, which the next attempt has. It does not speak of
    # two calls at once; it is taken for that too, where a server still works at one given up.
    return Hints(
        idempotent=bool(annotations.idempotent_hint), declared=any(one is not None for one in said)
    )


def tools_of(
    definition: ServerDefinition,
    listed: Iterable["Listed"],
    call: Call,
    taken: Mapping[str, Tool],
    is_ending: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Tool], list[str]]:
    """The tools that are taken from a server, and what is wrong with others, a sentence each.

    `taken` are the tools of other origin, whose names are theirs. Once it `is_ending` the rest is
    left: nobody asks for it any more.
    """
    budget = Budget(MAX_STEPS)
    made: dict[str, Tool] = {}
    faults = []
    names = set()
    for one in listed:
        if is_ending():
            break
        names.add(one.name)
        if not definition.takes(one.name):
            continue
        name = f"{definition.name}.{one.name}"
        try:
            _check_name(name, made, taken)
            made[name] = _made(definition, one, name, call, budget)
        except InvalidTool as error:
            faults.append(f"{name[:MAX_NAME]} is left out: {error}")
    wanted = {*(definition.take or ()), *definition.leave, *definition.overrides}
    faults += [
        f"the server has no tool {name!r}, which the file names" for name in sorted(wanted - names)
    ]
    return made, faults


def _check_name(name: str, made: Mapping[str, Tool], taken: Mapping[str, Tool]) -> None:
    if len(name) > MAX_NAME or not name.isprintable() or any(char in name for char in " {}\"'`"):
        raise InvalidTool(
            f"its name should be at most {MAX_NAME} characters without spaces, braces and quotes"
        )
    if name in made:
        raise InvalidTool("the server lists two tools of this name")
    if name in taken:
        raise InvalidTool("a tool of this program has the same name; give the server another")


def _made(
    definition: ServerDefinition, listed: "Listed", name: str, call: Call, budget: Budget
) -> Tool:
    schema = check_schema(listed.input_schema, budget)
    override = definition.overrides.get(listed.name, ToolOverride())
    hints = hints_of(listed.annotations if definition.trusted else None)
    own_name = listed.name

    async def called(**arguments: Any) -> Any:
        asked = arguments.pop(_ASKED, None)
        return await call(own_name, arguments, asked)

    described = (listed.description or listed.title or listed.name).strip()
    try:
        return SchemaTool(
            name=name,
            description=described[:MAX_DESCRIPTION],
            args_schema=schema,
            coroutine=called,
            call_parameter=_ASKED,
            effects=hints.effects if override.effects is None else override.effects,
            idempotent=hints.idempotent if override.idempotent is None else override.idempotent,
            in_doubt=override.in_doubt,
            declared=hints.declared
            or (override.effects, override.idempotent, override.in_doubt) != (None, None, None),
            phrases=override.phrases,
            timeout=override.timeout or definition.timeout,
            attempts=override.attempts,
            server=definition.name,
            owners=definition.owners,
        )
    except ValidationError as invalid:
        fault = invalid.errors(include_url=False)[0]
        raise InvalidTool(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from invalid
