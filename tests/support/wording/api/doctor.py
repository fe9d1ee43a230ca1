"""What the doctor says itself; of what does not open it prints the error."""

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from graph.models.client import LiteLlmModel
from nodes.planning.model import Completion
from tests.support.servers.commands.call import call
from tests.support.wording.messages import masked

MODELS = '["openai/x"]'


def messages() -> dict[str, str]:
    """By check: settings, tools, database, port, models; last, all of them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        sound = _told(folder)
        said = {
            "settings.ok": re.sub(r"\d+ of \d+", "<set> of <all>", sound["settings"][-1]),
            "settings.alike": _told(folder, prot="80")["settings"][0],
            "settings.unknown": _told(folder, xyz="1")["settings"][0],
            "tools.ok": sound["tools"][0],
            "database.ok": masked(sound["database"][0], url=f"sqlite:///{folder}/runs.db"),
            "port.any": sound["port"][0],
            "port.free": _free(folder),
            "model.none": sound["models"][0],
            **_models(folder),
        }
        found = call("doctor", folder=folder, log="xml", prot="80")
        return said | {"lines": found.stdout.rstrip("\n")}


def _told(folder: Path, *arguments: str, **settings: str) -> Mapping[str, list[str]]:
    found = json.loads(call("doctor", "--json", *arguments, folder=folder, **settings).stdout)
    told: dict[str, list[str]] = {}
    for one in found["checks"]:
        told.setdefault(one["check"], []).append(one["message"])
    return told


def _free(folder: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return masked(_told(folder, port=str(port))["port"][0], port=port)


def _models(folder: Path) -> dict[str, str]:
    async def complete(*_: Any, **__: Any) -> Completion:
        return Completion("{}", "stop", input_tokens=10, output_tokens=3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LiteLlmModel, "warm", lambda _: None)
        patch.setattr(LiteLlmModel, "missing_variables", lambda _: ("MY_KEY",))
        missing = _told(folder, models=MODELS)["models"][0]
        patch.setattr(LiteLlmModel, "missing_variables", lambda _: ())
        patch.setattr(LiteLlmModel, "complete", complete)
        answered = _told(folder, "--call-models", models=MODELS)["models"][0]
        return {
            "model.missing": missing,
            "model.ok": _told(folder, models=MODELS)["models"][0],
            "model.answered": re.sub(r"[\d.]+ s", "<seconds> s", answered),
        }
