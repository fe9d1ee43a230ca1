"""docs/settings.md tells the truth: it has every setting, as the program describes it."""

from graph.settings import Settings
from tests.support import pages

PAGE = (pages.DOCS / "settings.md").read_text()


def test_every_setting_is_in_the_table_with_its_default() -> None:
    """No setting is missing, none is left over, each is there once."""
    described = [
        [f"`RUNWRIGHT_{name.upper()}`", _shown(field.default), field.description]
        for name, field in Settings.model_fields.items()
    ]
    assert sorted(pages.rows(PAGE, "variable")) == sorted(described)


def _shown(default: object) -> str:
    return "none" if default in ((), None, {}) else f"`{default}`"
