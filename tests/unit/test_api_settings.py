"""Settings and secrets: what is missing or malformed is named, what is secret is not shown."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.secrets import decode_key, load_secrets, new_key
from api.server import PortError, bind
from api.settings import Settings, SettingsError, load_settings, without_password
from api.stores import cassandra_address

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings.embedded
    assert settings.runs_workers
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.log_address == "sqlite:///data/log.db"


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", "}.")), name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("LOG_URL", "postgres://x"),
        ("DOCUMENTS_URL", "cassandra://x/y"),
        ("MAX_DEPTH", "0"),
        ("OPERATION_TIMEOUT", "-1"),
        ("LOG_LEVEL", "loud"),
        ("PLAYGROUND", "perhaps"),
        ("LIMITS", "{"),
        ("LIMITS", '{"text_grapheme": 5}'),
        ("LIMITS", '{"text_graphemes": -5}'),
        ("SHARDS", "0"),
        ("LOG_URL", "sqlite:"),
        ("LOG_URL", "sqlite:///"),
        ("LOG_URL", "sqlite://log.db"),
        ("DOCUMENTS_URL", "sqlite:///:memory:"),
        ("ALLOWED_ORIGINS", "example.org"),
        ("ALLOWED_ORIGINS", "https://a.example,https://b.example/app"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load_settings()


def test_what_is_good_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "JSON",
        "ALLOWED_ORIGINS": "http://localhost:3000, capacitor://localhost, http://[::1]:80, *",
        "TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1, ::1",
        "LOG_URL": "sqlite:///log.db",
        "DOCUMENTS_URL": "sqlite:////var/lib/documents.db",
    }
    for variable, value in good.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert (settings.log_level, settings.log_format) == ("warning", "json")
    assert len(settings.allowed_origins) == 4


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("SHARDS", "y")
    with pytest.raises(SettingsError, match=r"PORT: .*\nSHARDS: "):
        load_settings()


def test_empty_value_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("MASTER_KEY", "")
    assert load_settings().port == 8000
    assert load_settings().master_key is None


def test_limits_and_origins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMITS", '{"text_graphemes": 1000}')
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example/, https://b.example,")
    settings = load_settings()
    assert settings.domain_limits.text_graphemes == 1000
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_option_of_the_command_line_wins_and_one_not_given_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert load_settings(port=9001).port == 9001


def test_one_store_that_is_no_file_makes_a_cluster() -> None:
    for url in ({"log_url": "cassandra://h:9042/k"}, {"documents_url": "mongodb://h/db"}):
        settings = load_settings(**url)
        assert not settings.embedded
        assert not settings.runs_workers
    assert load_settings(documents_url="mongodb://h/db", workers_in_process=True).runs_workers


def test_secrets_are_not_shown() -> None:
    settings = load_settings(master_key="s3cret" * 10)
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings.model_dump())
    assert "KEY" not in repr(
        load_secrets(load_settings(master_key=new_key(), server_key=new_key(), token_keys=new_key()))
    )


def test_password_of_an_address_is_not_shown() -> None:
    assert without_password("mongodb://me:pw@h1:1,h2:2/db?tls=true") == "mongodb://h1:1,h2:2/db"
    assert without_password("sqlite:////var/lib/log.db") == "sqlite:////var/lib/log.db"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_secrets_that_cannot_be_kept_are_named(tmp_path: Path, content: bytes | None) -> None:
    """What should be a folder is a file; a file holds no text."""
    folder = tmp_path / "data" / "secrets"
    if content is None:
        folder.parent.write_text("")
    else:
        folder.mkdir(parents=True)
        (folder / "master_key").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^MASTER_KEY: .*DATA_DIR"):
        load_secrets(load_settings(data_dir=tmp_path / "data"))


@pytest.mark.parametrize(
    ("host", "told"), [("192.0.2.1", "HOST '192.0.2.1' is no address"), ("nobody.invalid", "HOST 'nobody.invalid'")]
)
def test_an_address_of_another_machine_is_named(host: str, told: str) -> None:
    with pytest.raises(PortError, match=told):
        bind(load_settings(host=host, port=0))


def test_embedded_secrets_are_made_once_and_are_the_owners_alone(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    first = load_secrets(settings)
    second = load_secrets(settings)
    assert (first.master_key, first.server_key, first.token_keys) == (
        second.master_key,
        second.server_key,
        second.token_keys,
    )
    files = sorted((tmp_path / "data" / "secrets").iterdir())
    assert [file.name for file in files] == ["master_key", "server_key", "token_keys"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    folders = (tmp_path / "data", tmp_path / "data" / "secrets")
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert len({first.master_key, first.server_key, *first.token_keys}) == 3


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_secrets(settings).server_key, range(16)))
    assert len(set(made)) == 1
    assert not [file for file in (tmp_path / "secrets").iterdir() if file.name.startswith(".")]


def test_cluster_without_a_secret_does_not_start(tmp_path: Path) -> None:
    keys = {"master_key": new_key(), "server_key": new_key(), "token_keys": new_key()}
    for missing in keys:
        given = {name: value for name, value in keys.items() if name != missing}
        with pytest.raises(SettingsError, match=f"^{missing.upper()}: must be set"):
            load_secrets(load_settings(data_dir=tmp_path, log_url="cassandra://h/k", **given))
    assert not list(tmp_path.iterdir())


def test_several_keys() -> None:
    first, second = os.urandom(32), os.urandom(32)
    both = f"{first.hex()}, {base64.b64encode(second).decode()}"
    single = {"server_key": first.hex()}
    secrets = load_secrets(load_settings(master_key=both, token_keys=both, **single))
    assert secrets.token_keys == (first, second)
    assert (secrets.master_key, secrets.retired_master_keys) == (first, (second,))
    with pytest.raises(SettingsError, match="SERVER_KEY: there is one"):
        load_secrets(load_settings(master_key=both, token_keys=both, server_key=both))


@pytest.mark.parametrize("keys", [(48,), (32, 48)])
def test_a_master_key_has_32_bytes_exactly(keys: tuple[int, ...]) -> None:
    given = ",".join(os.urandom(size).hex() for size in keys)
    with pytest.raises(SettingsError, match="MASTER_KEY: must be 32 bytes"):
        load_secrets(load_settings(master_key=given, server_key=KEY.hex(), token_keys=KEY.hex()))


@pytest.mark.parametrize(
    "text",
    [KEY.hex(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).rstrip(b"=").decode(), KEY.hex().upper()],
)
def test_key_is_hex_or_base64(text: str) -> None:
    assert decode_key("MASTER_KEY", text) == KEY


@pytest.mark.parametrize("text", ["", "short", "x" * 31 + "!", KEY.hex()[:62], "é" * 40])
def test_bad_key_names_its_variable_and_not_itself(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^MASTER_KEY: ") as error:
        decode_key("MASTER_KEY", text)
    assert not text or text not in str(error.value)


def test_address_of_cassandra() -> None:
    assert cassandra_address("cassandra://a:9043/tidings") == (["a"], 9043, "tidings")
    assert cassandra_address("cassandra://a,b:9043,c/tidings") == (["a", "b", "c"], 9043, "tidings")
    assert cassandra_address("cassandra://a/tidings") == (["a"], 9042, "tidings")
    for bad in (
        "cassandra://a",
        "cassandra:///k",
        "cassandra://a:1,b:2/k",
        "cassandra://a:x/k",
        "cassandra://a:0/k",
        "cassandra://a:65536/k",
        "cassandra://a/k-k",
        f"cassandra://a/{'k' * 44}",
    ):
        with pytest.raises(SettingsError, match=r"^LOG_URL: "):
            cassandra_address(bad)
