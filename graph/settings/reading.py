"""Reading the settings, once, from the environment (`RUNWRIGHT_…`), and what is wrong with it."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError
from typing_extensions import TypedDict

from graph.settings.keys import without_secrets
from graph.settings.settings import PREFIX, SECRET, InvalidSettings, Settings
from graph.state.wording import doc


def read_settings(**overrides: Any) -> Settings:
    """The settings from the environment; `overrides` (from the command line) come first.

    Raises `InvalidSettings`.
    """
    lines = _unknown_names(os.environ)
    try:
        settings = Settings(**overrides)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        lines += [_line(error, overrides) for error in errors]
        fields = dict.fromkeys(_field(error) for error in errors)
        raise InvalidSettings("\n".join(lines), fields) from None
    own = {configured.api_key_env for configured in settings.models}
    if lines := [line for line in lines if line.partition(" ")[0] not in own]:
        raise InvalidSettings("\n".join(lines))
    return settings


def _unknown_names(environment: Mapping[str, str]) -> list[str]:
    """What is set and read by nothing: a misspelt name of the keys would serve without any."""
    known = [name.upper() for name in Settings.model_fields]
    found = []
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and own not in known:
            alike = [f"; did you mean {PREFIX}{one}?" for one in get_close_matches(own, known, n=1)]
            found.append(f"{name} is set, but there is no such setting{''.join(alike)}")
    return found


def _field(error: Any) -> str:
    return str(error["loc"][0])


def _as_given(value: Any) -> Any:
    """A list as it is written in a variable; anything else as it is."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _line(error: Any, overrides: dict[str, Any]) -> str:
    field = _field(error)
    name = f"--{field.replace('_', '-')}" if field in overrides else f"{PREFIX}{field.upper()}"
    described = Settings.model_fields[field].description if field in Settings.model_fields else ""
    unknown = error["type"] == "extra_forbidden" and len(error["loc"]) > 1
    message = f"has the unknown field {error['loc'][-1]!r}" if unknown else error["msg"]
    # Somebody may have put a key where only the name of its variable belongs.
    hidden = field in SECRET or unknown or error["type"] == "json"
    hidden = hidden or isinstance(error["input"], dict)
    value = "…" if hidden else without_secrets(str(_as_given(error["input"])))
    if not described:
        return f"{name}: there is no such setting"
    return f"{name}={value}: {message} ({described})"


class SettingValue(TypedDict):
    """A setting, as far as it may be told to who uses the server."""

    name: Annotated[str, doc("The variable that sets it.")]
    description: Annotated[str, doc("What it is.")]
    given: Annotated[bool, doc("Whether the variable is set; else it has its default.")]
    value: Annotated[
        float | bool | str | None,
        doc("A number, a choice, or yes or no; null where it is none, and of all others."),
    ]


def setting_values(settings: Settings) -> list[SettingValue]:
    """Every setting. Texts and lists are not told, since they may hold names, places and keys."""
    return [
        SettingValue(
            name=f"{PREFIX}{name.upper()}",
            description=field.description or "",
            given=name in settings.model_fields_set,
            value=value if isinstance(value, int | float) or _is_choice(field.annotation) else None,
        )
        for name, field in Settings.model_fields.items()
        for value in [getattr(settings, name)]
    ]


def _is_choice(annotation: Any) -> bool:
    return get_origin(annotation) is Literal or any(map(_is_choice, get_args(annotation)))
