"""What is wrong with a reference to the output of another step."""

from typing import Any

from nodes.contract.steps import InvalidReference, resolve
from tests.support.wording.messages import masked


def messages() -> dict[str, str]:
    """The reasons, without the reference that they are about."""
    return {
        "malformed": _reason("{last}", {}),
        "step": masked(_reason("{step_97_output}", {}), step=97),
        "part": masked(_reason("{step_97_output.text}", {97: []}), part="'text'", step=97),
    }


def _reason(text: str, outputs: dict[int, Any]) -> str:
    try:
        resolve(text, outputs)
    except InvalidReference as error:
        return error.reason
    raise AssertionError(text)
