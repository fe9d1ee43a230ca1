"""A tool whose input is described by a JSON Schema that somebody else wrote."""

from collections.abc import Mapping
from typing import Any, cast

from jsonschema.exceptions import ValidationError
from pydantic import PrivateAttr
from referencing.exceptions import Unresolvable

from tools.registry import InvalidTool, Tool
from tools.schema_budget import MAX_STEPS, Budget, Checker, Exhausted, InvalidSchema
from tools.values import InputFault, Parameter, UnfitInput

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


def _faults_of(error: ValidationError) -> list[InputFault]:
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
