"""No key and no password of a URL is printed, wherever somebody has put it."""

import json
from pathlib import Path

import pytest

from graph.settings import Settings
from graph.settings.configured import new_key, without_secrets
from tests.support.examples import slow
from tests.support.servers.commands.call import call

KEY, _ = new_key("alice")
PASSWORD = "hunter2-p@ss/w"
URL = f"mysql://ann:{PASSWORD}@db.example/runs?sslpassword=hunter3"

#: Forms of a secret, each with the words that nobody may see.
SECRETS = {
    "key": (KEY, [KEY[3:]]),
    "provider": ("sk-proj-0123456789abcdef", ["0123456789"]),
    "url": (URL, ["hunter", "w@db"]),
    "no scheme": (f"ann:{PASSWORD}@db.example", ["hunter", "w@db"]),
}

MODELS = {
    "as JSON": '["{}"]',
    "as a model": '[{{"model": "{}"}}]',
    "as its key": '[{{"model": "openai/x", "api_key": "{}"}}]',
    "without a name": '[{{"api_base": "{}"}}]',
    "as the variable of its key": '[{{"model": "openai/x", "api_key_env": "{}"}}]',
    "as its endpoint": '[{{"model": "openai/x", "api_base": "{}", "api_key_env": "NONE"}}]',
}


@pytest.mark.parametrize(
    "form",
    [
        *("key", "url"),  # the others are looked for alike
        *slow("provider", "no scheme"),
    ],
)
@pytest.mark.parametrize("setting", sorted(set(Settings.model_fields) - {"models"}))
def test_a_secret_in_any_setting_is_not_printed(tmp_path: Path, setting: str, form: str) -> None:
    value, hidden = SECRETS[form]
    folder_of = {"database_url": f"sqlite:///{tmp_path}/runs.db"}
    settings = {**folder_of, setting: value}
    for command in (["doctor"], ["doctor", "--json"], ["run", "calculate 1 + 1"]):
        done = call(*command, folder=tmp_path, **settings)
        assert not [word for word in hidden if word in done.stdout + done.stderr]


@pytest.mark.parametrize("form", SECRETS)
@pytest.mark.parametrize("place", MODELS)
def test_a_secret_of_a_model_is_not_printed(tmp_path: Path, place: str, form: str) -> None:
    value, hidden = SECRETS[form]
    for command in (["doctor"], ["doctor", "--json"]):
        done = call(*command, folder=tmp_path, models=MODELS[place].format(value))
        assert "openai/x" in done.stdout or "MODELS" in done.stdout
        assert not [word for word in hidden if word in done.stdout + done.stderr]


def test_a_password_in_the_url_of_a_server_is_not_printed(tmp_path: Path) -> None:
    run_id = "3649e764-182c-4e2a-baa5-565cd8d75ff6"
    for url in ("http://ann:hunter2@127.0.0.1:9", "ftp://ann:hunter2@127.0.0.1:9"):
        done = call("approve", run_id, f"--url={url}", folder=tmp_path)
        assert done.returncode == 2
        assert "127.0.0.1:9" in done.stderr
        assert "hunter2" not in done.stderr


def test_doctor_says_where_the_fault_is_all_the_same(tmp_path: Path) -> None:
    done = call("doctor", "--json", folder=tmp_path, database_url=URL)
    [told] = [one for one in json.loads(done.stdout)["checks"] if one["check"] == "database"]
    assert told["message"].startswith("'mysql://…@db.example/runs?sslpassword=…' names no")


@pytest.mark.parametrize(
    "text",
    [
        "the database /data/a@b.db can be used",
        "cannot listen on 127.0.0.1:8000: in use; ask ann@example.com",
        "run 3649e764-182c-4e2a-baa5-565cd8d75ff6 is at http://127.0.0.1:8000/",
        "task: mail ann@example.com at 10:30",
    ],
)
def test_what_is_no_secret_is_printed_as_it_is(text: str) -> None:
    assert without_secrets(text) == text
