"""What the process is told by its environment: the settings, and the keys of those who call.

Others use `configured`.
"""

from graph.settings.configured import InvalidSettings, ModelSettings
from graph.settings.settings import PREFIX, SECRET, Settings, read_settings

__all__ = [
    "PREFIX",
    "SECRET",
    "InvalidSettings",
    "ModelSettings",
    "Settings",
    "read_settings",
]
