"""Keys: made once, kept as hashes, read from a list, and never quoted when they are wrong."""

import re

import pytest

from api.cli.command import NotAName, make_key
from api.middleware.access import check_exposure
from graph.settings import InvalidSettings, Settings, read_settings
from graph.settings.configured import InvalidKey, Key, KeyRing, digest_of, new_key, parse_keys
from tests.support.wording.messages import wording

CANARY = "rw_canary-canary-canary-canary-canary-canary-0"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RUNWRIGHT_{name.upper()}", raising=False)


def test_a_key_is_known_by_its_hash_and_by_nothing_else():
    key, kept = new_key("alice")
    ring = KeyRing([kept])

    assert key not in str(kept)
    assert parse_keys([str(kept)]) == (kept,)
    assert ring.owner(key) == "alice"
    assert [ring.owner(other) for other in ("", key[:-1], key + "x", str(kept), CANARY)] == [
        None
    ] * 5


def test_no_two_keys_are_alike_and_each_has_32_random_bytes():
    keys = {new_key("a")[0] for _ in range(100)}

    assert len(keys) == 100
    assert all(re.fullmatch(r"rw_[\w-]{43}", key) for key in keys)


def test_a_name_may_have_several_keys():
    (first, kept), (second, also_kept), (other, others) = (new_key(n) for n in ("a", "a", "b"))
    ring = KeyRing([kept, also_kept, others])

    assert [ring.owner(key) for key in (first, second, other)] == ["a", "a", "b"]


def test_every_key_is_compared_also_after_the_right_one(monkeypatch: pytest.MonkeyPatch):
    """The time it takes says nothing of whose key it is, nor how much of it is right."""
    made = [new_key(name) for name in "abc"]
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("graph.settings.configured.compare_digest", compare)
    ring = KeyRing([kept for _, kept in made])
    for given in (made[0][0], made[2][0], CANARY):
        compared.clear()
        ring.owner(given)
        assert compared == [kept.digest for _, kept in made]


@pytest.mark.parametrize(
    "entry",
    [
        CANARY,
        f"alice:{CANARY}",
        f"alice={digest_of(CANARY).hex()}",
        f":{digest_of(CANARY).hex()}",
        f"two words:{digest_of(CANARY).hex()}",
        f"alice:{digest_of(CANARY).hex()}0",
    ],
)
def test_an_entry_that_is_none_is_refused_without_being_told(
    monkeypatch: pytest.MonkeyPatch, entry: str
):
    """Whoever puts the key where its hash belongs must not find it in a log."""
    monkeypatch.setenv("RUNWRIGHT_API_KEYS", f"bob:{'0' * 64},{entry}")
    with pytest.raises(InvalidSettings) as error:
        read_settings()

    assert str(error.value) == wording("settings.api-keys", place=2)
    assert CANARY not in str(error.value)


def test_one_hash_has_one_owner():
    with pytest.raises(InvalidKey, match=wording("settings.keys.twice")):
        parse_keys([f"a:{'0' * 64}", f"b:{'0' * 64}"])


def test_the_list_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNWRIGHT_API_KEYS", f" a:{'0' * 64} , b.c-d:{'AB' * 32},")
    monkeypatch.setenv("RUNWRIGHT_API_KEY", f" {CANARY}\n")
    settings = read_settings()

    assert settings.api_keys == (Key("a", bytes(32)), Key("b.c-d", b"\xab" * 32))
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == CANARY
    assert CANARY not in repr(settings)


def test_a_key_that_no_header_can_hold_is_refused_without_being_told(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("RUNWRIGHT_API_KEY", f"{CANARY}\n{CANARY}")
    with pytest.raises(InvalidSettings) as error:
        read_settings()

    assert "RUNWRIGHT_API_KEY=…" in str(error.value)
    assert CANARY not in str(error.value)


def test_the_command_prints_what_the_settings_take(monkeypatch: pytest.MonkeyPatch):
    for line in make_key("alice").splitlines():
        if not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    settings = read_settings()

    assert settings.api_key is not None
    assert KeyRing(settings.api_keys).owner(settings.api_key.get_secret_value()) == "alice"


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "-a", "ä", "a" * 65])
def test_a_name_that_the_list_could_not_hold_gets_no_key(name: str):
    with pytest.raises(NotAName, match=re.escape(wording("settings.key.name", name=repr(name)))):
        make_key(name)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_without_keys_this_machine_may_be_served(host: str):
    check_exposure(read_settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_keys_no_other_machine_is_served_unless_told_so(host: str):
    with pytest.raises(InvalidSettings) as error:
        check_exposure(read_settings(host=host))

    assert str(error.value) == wording("settings.exposed", host=host)

    check_exposure(read_settings(host=host, open_to_all=True))
    check_exposure(read_settings(host=host, api_keys=(new_key("a")[1],)))


def test_a_server_that_was_given_the_key_of_a_client_only_warns(caplog):
    key, kept = new_key("a")
    check_exposure(read_settings(api_key=key, api_keys=(kept,)))
    assert not caplog.messages
    check_exposure(read_settings(api_key=key))
    (message,) = caplog.messages
    assert "RUNWRIGHT_API_KEYS is not set" in message
    assert key not in message


@pytest.mark.parametrize("origin", ["*", "one.example", "https://one.example/", "ftp://one", "a b"])
def test_an_origin_that_no_browser_sends_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str):
    monkeypatch.setenv("RUNWRIGHT_CORS_ORIGINS", origin)

    with pytest.raises(InvalidSettings, match=r"^RUNWRIGHT_CORS_ORIGINS="):
        read_settings()
