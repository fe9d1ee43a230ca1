"""One configured model: its name, where it is, and what it costs."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[\w-]+/.+", name):
        raise PydanticCustomError(
            "model_name", "Input should be provider/name, as openai/gpt-5-mini"
        )
    return name


#: A model with its provider.
ModelName = Annotated[str, AfterValidator(_check_name)]


class ModelSettings(BaseModel):
    """One model; the key is read from the provider's own variable, or from `api_key_env`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelName
    api_base: str | None = None
    api_key_env: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class ModelPrice(BaseModel):
    """What a million tokens cost, in USD."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)
