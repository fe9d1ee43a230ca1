"""The settings: what is wrong with them, and as much of them as can be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from api.doctor.finding import Finding, fails, ok, warning
from graph.settings import PREFIX, InvalidSettings, Settings, read_settings

CHECK = "settings"


@dataclass(frozen=True)
class Configuration:
    """The settings with the default for every field in `unusable`."""

    settings: Settings
    unusable: frozenset[str]
    findings: tuple[Finding, ...]


def read_configuration(environment: Mapping[str, str]) -> Configuration:
    """Read the settings of this process; `environment` is searched for names that are none."""
    strangers = tuple(_strangers(environment))
    try:
        settings = read_settings()
    except InvalidSettings as invalid:
        defaults = {name: Settings.model_fields[name].default for name in invalid.fields}
        findings = tuple(
            fails(CHECK, line, f"change or unset {line.partition('=')[0]}")
            for line in str(invalid).splitlines()
        )
        usable = read_settings(**defaults)
        return Configuration(usable, frozenset(invalid.fields), findings + strangers)
    count = len(settings.model_fields_set)
    told = ok(CHECK, f"{count} of {len(Settings.model_fields)} set, the others have their defaults")
    return Configuration(settings, frozenset(), (told, *strangers))


def _strangers(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = [name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        own = name.upper().removeprefix(PREFIX)
        if own == name.upper() or own in known:
            continue
        alike = get_close_matches(own, known, n=1)
        mend = (
            f"did you mean {PREFIX}{alike[0]}?"
            if alike
            else "unset it; docs/settings.md lists the settings"
        )
        yield warning(CHECK, f"{name} is set, but there is no such setting", mend)
