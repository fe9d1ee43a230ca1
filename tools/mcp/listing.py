"""The tools of a server as ours: described, called, and what it answers as an output to be kept."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from jsonschema.exceptions import ValidationError as Violation
from pydantic import PrivateAttr, ValidationError
from referencing.exceptions import Unresolvable

from tools.mcp.definitions import MAX_LISTING_STEPS, ServerDefinition, ToolOverride
from tools.receipts import Blob
from tools.registry import InvalidTool, ToolCall, ToolError, ToolProgress
from tools.schema_budget import MAX_STEPS, Budget, Checker, Exhausted, InvalidSchema
from tools.toolbox import InputFault, Parameter, Tool, UnfitInput

if TYPE_CHECKING:
    from mcp.shared.dispatcher import ProgressFnT
    from mcp.types import CallToolResult, ToolAnnotations
    from mcp.types import Tool as Listed


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
    budget = Budget(MAX_LISTING_STEPS)
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


#: Keeps bytes beside the output; the names of those that are kept.
Keep = Callable[[Sequence[Blob]], Awaitable[set[str]]]


async def output_of(result: "CallToolResult", keep: Keep) -> Any:
    """The output: structured content, else text, else blocks with size, type and hash.

    Raises `ToolError` with the server's text where it says that the call has failed.
    """
    blocks = result.content
    texts = [block.text for block in blocks if block.type == "text"]
    if result.is_error:
        raise ToolError("\n".join(texts).strip() or "the server says that it failed, and not why")
    if result.structured_content is not None:
        return result.structured_content
    if len(texts) == len(blocks):
        return "\n".join(texts)
    return await _described(blocks, keep)


async def _described(blocks: Sequence[Any], keep: Keep) -> list[dict[str, Any]]:
    blobs = [_blob(block) for block in blocks]
    found = [blob for blob in blobs if blob is not None]
    kept = await keep(found) if found else set()
    return [_block(block, blob, kept) for block, blob in zip(blocks, blobs, strict=True)]


def _blob(block: Any) -> Blob | None:
    """The bytes of a block that has some which can be read."""
    held = getattr(block, "resource", block)
    data = getattr(held, "blob", getattr(held, "data", None))
    if not isinstance(data, str):
        return None
    try:
        return Blob(held.mime_type or "application/octet-stream", b64decode(data, validate=True))
    except ValueError:
        return None


def _block(block: Any, blob: Blob | None, kept: set[str]) -> dict[str, Any]:
    match block.type:
        case "text":
            return {"type": "text", "text": block.text}
        case "image" | "audio":
            return {"type": block.type, "mime": block.mime_type, **_weighed(blob, kept)}
        case "resource_link":
            return {"type": "resource_link", "uri": str(block.uri), "mime": block.mime_type}
        case "resource":
            held = block.resource
            about = {"type": "resource", "uri": str(held.uri), "mime": held.mime_type}
            text = getattr(held, "text", None)
            return about | ({"text": text} if text is not None else _weighed(blob, kept))
        case other:
            return {"type": str(other)}


def _weighed(blob: Blob | None, kept: set[str]) -> dict[str, Any]:
    """The size and the hash of bytes, and whether they are kept."""
    if blob is None:
        return {"bytes": None, "sha256": None, "kept": False}
    return {"bytes": len(blob.data), "sha256": blob.name, "kept": blob.name in kept}


def relayed_progress(asked: ToolCall) -> "ProgressFnT":
    """Hands on how far the server says that it is; the time of the attempt stays what it is."""

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        asked.progress(ToolProgress(progress, total, message))

    return tell


async def kept_nowhere(blobs: Sequence[Blob]) -> set[str]:
    """For a call that nobody asked for as a step."""
    return set()


# A tool whose input is described by a JSON Schema that somebody else wrote.


#: The largest schema that is kept, in characters: planners are sent all of it.
MAX_SCHEMA = 64 * 1024

_MOST_FAULTS = 20
_EXHAUSTED = "its schema takes too much work to check"
_ALL_EXHAUSTED = "the schemas of all tools of the server take too much work; leave some out"


class SchemaTool(Tool):
    """A tool that is checked by its JSON Schema; its arguments reach it as they are."""

    _checker: Checker = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Make what checks once."""
        super().model_post_init(context)
        self._checker = Checker(self.json_schema)

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema as it was written."""
        return cast("dict[str, Any]", self.args_schema)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The properties of the schema."""
        required = self.json_schema.get("required", [])
        properties: Mapping[str, Any] = self.json_schema.get("properties", {})
        return {
            name: Parameter(name in required, _number(schema))
            for name, schema in properties.items()
        }

    def faults(self, value: Mapping[str, Any]) -> list[InputFault]:
        """What the schema does not allow."""
        try:
            errors = self._checker.errors(value, _MOST_FAULTS)
        except Exhausted:
            return [InputFault((), "schema", _EXHAUSTED)]
        except Exception as error:  # whatever a server's schema does to the library
            kind = type(error).__name__
            return [InputFault((), "schema", f"its schema cannot be followed ({kind})")]
        return [fault for error in errors for fault in _faults_of(error)][:_MOST_FAULTS]

    def arguments(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The input itself. Raises `UnfitInput`."""
        if faults := self.faults(value):
            raise UnfitInput(faults)
        return dict(value)


def check_schema(schema: Any, whole: Budget | None = None) -> dict[str, Any]:
    """The schema, where it can be one of an input. Raises `InvalidTool` with what is wrong.

    What that takes is spent of what is left for the `whole` of a listing as well.
    """
    if whole and whole.left <= 0:
        raise InvalidTool(_ALL_EXHAUSTED)
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise InvalidTool("the schema of its input describes no object")
    if len(str(schema)) > MAX_SCHEMA:
        raise InvalidTool(f"the schema of its input has more than {MAX_SCHEMA} characters")
    if not isinstance(schema.get("properties", {}), dict):
        raise InvalidTool("the schema of its input has properties that are no object")
    most = min(MAX_STEPS, whole.left) if whole else MAX_STEPS
    budget = Budget(most)
    try:
        Checker(schema).check(budget)
    except Exhausted:
        raise InvalidTool(_EXHAUSTED if most == MAX_STEPS else _ALL_EXHAUSTED) from None
    except (Unresolvable, RecursionError) as error:
        why = f"has a reference that cannot be followed ({type(error).__name__})"
        raise InvalidTool(f"the schema of its input {why}") from None
    except InvalidSchema as error:
        raise InvalidTool(f"the schema of its input is none: {_short(str(error))}") from None
    except Exception as error:  # whatever a server's schema does to the library
        why = f"cannot be used ({type(error).__name__})"
        raise InvalidTool(f"the schema of its input {why}") from None
    finally:
        if whole:
            whole.left -= most - max(budget.left, 0)
    return schema


def _faults_of(error: Violation) -> list[InputFault]:
    place = tuple(error.absolute_path)
    match error.validator:
        case "required":
            instance = cast("Mapping[str, Any]", error.instance)
            missing = [
                name for name in cast("list[str]", error.validator_value) if name not in instance
            ]
            # One error a name: this one's is in its message.
            name = next((one for one in missing if error.message.startswith(repr(one))), missing[0])
            return [InputFault((*place, name), "missing", "Field required", instance)]
        case "additionalProperties":
            known = cast("Mapping[str, Any]", error.schema).get("properties", {})
            extra = [
                name for name in cast("Mapping[str, Any]", error.instance) if name not in known
            ]
            return [
                InputFault((*place, name), "extra_forbidden", "there is no such argument")
                for name in extra[:_MOST_FAULTS]
            ]
        case _:
            return [InputFault(place, str(error.validator), _short(error.message), error.instance)]


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:300]}…"


def _number(schema: Any) -> type[int] | type[float] | None:
    if not isinstance(schema, dict):
        return None
    branches = [schema, *schema.get("anyOf", ())]
    kinds = {str(one.get("type")) for one in branches if isinstance(one, dict)}
    if "number" in kinds:
        return float
    return int if "integer" in kinds else None
