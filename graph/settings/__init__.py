"""What the process is told by its environment: the settings, and the keys of those who call.

Others use `configured` and `keys`.
"""

from graph.settings.configured import ModelSettings
from graph.settings.reading import SettingValue, read_settings, setting_values
from graph.settings.settings import PREFIX, SECRET, InvalidSettings, Settings

__all__ = [
    "PREFIX",
    "SECRET",
    "InvalidSettings",
    "ModelSettings",
    "SettingValue",
    "Settings",
    "read_settings",
    "setting_values",
]
