"""Every setting: its name, what it may be, and what it is for.

They are read once, from the environment (`RUNWRIGHT_…`).
"""

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from graph.settings.configured import (
    InvalidSettings,
    Key,
    ModelName,
    ModelPrice,
    ModelSettings,
    WebhookSettings,
    check_hosts,
    check_models,
    check_origins,
    given_key,
    given_keys,
    without_secrets,
)
from graph.state import MOST_KEPT, THREAD_CONTEXT, Approve, Limits
from nodes.planning.model import THRESHOLD
from tools.invocation import ToolErrors
from tools.toolbox import InDoubt

PREFIX = "RUNWRIGHT_"

#: Settings whose values are told to nobody, not even when they are wrong.
SECRET = frozenset({"api_key", "api_keys"})


class Settings(BaseModel):
    """The settings of one process. Times in seconds, sizes in bytes unless said otherwise.

    What is not given comes from the environment, whatever the case of its names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **given: Any) -> None:
        variables = {name.upper(): value for name, value in os.environ.items()}
        named = {name: f"{PREFIX}{name.upper()}" for name in type(self).model_fields}
        found = {name: variables[one] for name, one in named.items() if one in variables}
        super().__init__(**found | given)

    # Where the server listens
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(check_hosts)] = Field(
        (), description="names beside the loopback ones that the Host header may have"
    )
    open_to_all: bool = Field(
        False, description="whether a server without keys may listen beyond loopback"
    )
    cors_origins: Annotated[tuple[str, ...], AfterValidator(check_origins)] = Field(
        (), description="other sites whose pages may call: https://one.example,…"
    )
    max_body: int = Field(64 * 1024, ge=1024, le=2**30, description="largest request body, bytes")
    max_head: int = Field(
        32 * 1024, ge=1024, le=2**24, description="largest head of a request, bytes; trailers too"
    )
    head_timeout: float = Field(
        30.0, gt=0, le=3600, description="time for the head of a request, s"
    )
    body_rate: int = Field(
        1024, ge=0, le=2**30, description="slowest body, bytes/s, looked at once per head_timeout"
    )
    max_connections: int = Field(4_000, ge=1, le=10**6, description="connections open at once")
    max_connections_per_address: int = Field(
        1_000, ge=1, le=10**6, description="the same from one address, as that of a proxy"
    )
    streams_per_owner: int = Field(
        300, ge=1, le=10**6, description="streams of events, and calls at /mcp, open of one owner"
    )
    metrics: str = Field(
        "local",
        pattern=r"^(local|open|off|key:[^\s:,]+)$",
        description="with keys, who reads /metrics: local (on this machine), open, off, key:name",
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="where a worker answers /metrics, at host; else nowhere"
    )

    # Whose the runs are
    api_keys: Annotated[tuple[Key, ...], BeforeValidator(given_keys)] = Field(
        (), description="who may use the server: name:hash,… as `runwright key new` prints them"
    )
    api_key: Annotated[SecretStr | None, BeforeValidator(given_key)] = Field(
        None, description="the key that `run` and `watch` send to a server that has keys"
    )

    # Where runs are kept
    database_url: str = Field(
        "sqlite:///runwright.db",
        description="sqlite:///relative.db, sqlite:////absolute.db, postgresql://… or memory://",
    )
    retention: float = Field(
        30.0,
        ge=0,
        le=36_500,
        description="days that settled runs are kept; 0 or none keeps them for ever",
    )
    audit_retention: float = Field(
        90.0, ge=0, le=36_500, description="days that who did what outlasts a run; 0: for ever"
    )

    workers: int | None = Field(
        None,
        ge=0,
        le=1,
        description="shares a Postgres database with other processes: 1 executes runs here, too; 0 "
        "leaves all of them to workers; without it the process has the database alone",
    )

    # What runs may do
    tools: tuple[str, ...] = Field(
        (), description="your own tools: module:function or ./file.py:function, …"
    )
    mcp: Path | None = Field(
        None, description="file of MCP servers whose tools plans may use, as mcp.json"
    )
    mcp_each_tool: bool = Field(
        False, description="MCP clients may call every tool of ours by itself, not just `run`"
    )
    tool_errors: ToolErrors | None = Field(
        None,
        description="what is told of exceptions in tools: their text or only their type; text "
        "without keys and type with keys unless it is set",
    )
    step_timeout: float = Field(30.0, gt=0, le=86_400, description="longest time of an attempt, s")
    max_attempts: int = Field(3, ge=1, le=100, description="attempts at a step, the first included")
    backoff: float = Field(
        0.5, ge=0, le=3600, description="wait before the second attempt, s; doubles with each"
    )
    max_prompt: int = Field(20_000, ge=1, le=10**7, description="longest prompt, characters")
    max_steps: int = Field(100, ge=1, le=10_000, description="most steps of a plan")
    max_output: int = Field(
        256 * 1024, ge=1024, le=2**26, description="largest output of a step, bytes"
    )
    max_kept: int = Field(MOST_KEPT, ge=2**16, le=2**30, description="most that a run keeps, bytes")
    max_rounds: int = Field(
        5,
        ge=1,
        le=100,
        description="most rounds of planning: a model may look at what steps returned and plan on",
    )
    mend: int = Field(
        1,
        ge=0,
        le=100,
        description="how often a model may plan another way after a step that failed for good",
    )

    thread_context: int = Field(
        THREAD_CONTEXT,
        ge=0,
        le=10**6,
        description="characters of its thread's earlier runs that a run is given",
    )

    # Which plans a person is asked about
    approve: Approve = Field(
        "never",
        description="which runs rest after planning until they are approved: never, effects (their "
        "plan has a step that changes something) or always",
    )
    approval_expires: float = Field(
        7 * 86_400, gt=0, le=10 * 366 * 86_400, description="how long they wait for it, s"
    )

    in_doubt: InDoubt = Field(
        "ask",
        description="what becomes of a step that may have acted, and whose tool is not idempotent: "
        "ask (the run waits until a person decides), fail or retry (it is called again)",
    )

    # Which models plan; without any, the pattern planner does
    models: Annotated[tuple[ModelSettings, ...], AfterValidator(check_models)] = Field(
        (), description='models in the order of trial, as JSON: ["openai/gpt-5-mini", …]'
    )
    model_complex: ModelName | None = Field(
        None, description="the model asked first for tasks judged complex"
    )
    complexity_threshold: float = Field(
        THRESHOLD, ge=0, description="score from which a task is judged complex"
    )
    model_timeout: float = Field(20.0, gt=0, le=600, description="longest time of a model call, s")
    model_max_tokens: int = Field(2_000, ge=50, description="longest answer of a model, tokens")
    model_output: int = Field(
        4_000, ge=100, le=10**6, description="characters of a step's output that a model is shown"
    )
    model_context: int = Field(
        200_000,
        ge=10_000,
        le=10**8,
        description="characters that a model is told in all; beyond them the oldest outputs are "
        "left out",
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="sent to models only where it is set"
    )
    instructions: str | None = Field(
        None, max_length=8_000, description="what models are told to heed in every plan"
    )
    shortlist: int = Field(
        40,
        ge=0,
        le=10_000,
        description="tools that a model is told of, those that fit the request best; 0: all",
    )
    answer: Literal["auto", "never"] = Field(
        "auto", description="whether a model that has planned a run answers in words at its end"
    )
    model_prices: dict[str, ModelPrice] = Field(
        {},
        description='own prices, USD per million tokens: {"openai/x": {"input": 1, "output": 2}}',
    )
    daily_budget_usd: float | None = Field(
        None,
        ge=0,
        le=10**9,
        description="what calls of models may cost each owner in a day (UTC), USD",
    )
    daily_budget_tokens: int | None = Field(
        None, ge=0, le=10**15, description="the same in tokens, read and written"
    )
    fallback: Literal["always", "transient", "never"] = Field(
        "always", description="whether the pattern planner may answer where models fail"
    )
    breaker_failures: int = Field(
        3, ge=1, description="runs in a row whose failures close off a model"
    )
    breaker_seconds: float = Field(30.0, ge=0, description="how long it stays closed off, s")

    # How much at once
    in_flight: int = Field(
        1_000, ge=1, le=10**5, description="runs begun at once, whatever they wait for"
    )
    max_executing: int = Field(
        24, ge=1, le=1000, description="runs of them that compute at once, or have a tool's thread"
    )
    model_calls: int = Field(32, ge=1, le=10**5, description="calls of each model at once")
    max_queued: int = Field(
        10_000, ge=1, le=10**6, description="runs waiting to begin, or in a backoff"
    )
    tool_threads: int = Field(32, ge=1, le=1000, description="threads for blocking tools")
    grace: float = Field(
        5.0, ge=0, le=3600, description="time for attempts in flight at the end of the process, s"
    )

    # What each owner may take
    posts_per_minute: int = Field(
        6_000,
        ge=0,
        le=10**9,
        description="posts, previews, replays, retries and forks in a minute; 0: any",
    )
    kept_runs: int = Field(1_000_000, ge=0, le=10**12, description="runs that are kept; 0: any")
    kept_bytes: int = Field(10 * 2**30, ge=0, le=2**60, description="bytes of kept runs; 0: any")
    kept_todos: int = Field(10_000, ge=0, le=10**9, description="to-dos that are kept; 0: any")
    retries_per_run: int = Field(100, ge=0, le=10**6, description="retries of one run; 0: any")
    forks_per_run: int = Field(100, ge=0, le=10**6, description="forks of one run; 0: any")

    # What is told
    webhooks: tuple[WebhookSettings, ...] = Field(
        (), description='where ends and waits of runs are posted: [{"url": …, "secret_env": …}]'
    )
    traces: Literal["off", "otlp"] = Field(
        "off", description="whether spans of runs are exported, as OTEL_… variables say"
    )
    log: Literal["text", "json"] = Field("text", description="form of the log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug adds prompts and outputs"
    )

    @field_validator("allowed_hosts", "cors_origins", "tools", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("models", "model_prices", "webhooks", mode="before")
    @classmethod
    def _decode(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise PydanticCustomError(
                "json", "Input should be JSON, which this is not: {why}", {"why": str(error)}
            ) from None

    @field_validator("retention", "audit_retention", mode="before")
    @classmethod
    def _none_is_for_ever(cls, value: Any) -> Any:
        return 0.0 if isinstance(value, str) and value.strip().lower() == "none" else value

    @property
    def tool_errors_told(self) -> ToolErrors:
        """What is told of exceptions in tools: with keys, who calls is not who runs the server."""
        return self.tool_errors or ("type" if self.api_keys else "text")

    @property
    def limits(self) -> Limits:
        """The limits that every run of this process gets."""
        return Limits(
            step_timeout=self.step_timeout,
            max_attempts=self.max_attempts,
            backoff=self.backoff,
            max_prompt=self.max_prompt,
            max_steps=self.max_steps,
            max_output=self.max_output,
            max_rounds=self.max_rounds,
            mend=self.mend,
        )


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
