"""Settings of a client: what is taken and what is said about the rest."""

import math
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, SecretStr

from catalog.errors import ConfigError
from serving.client import ClientConfig, SearchClient, Tls
from serving.client_config import client_config


def test_several_addresses_are_one_target() -> None:
    assert ClientConfig(address="shop:8500").target == "shop:8500"
    assert ClientConfig(address=("10.0.0.1:8500",)).target == "10.0.0.1:8500"
    assert ClientConfig(address=("10.0.0.1:8500", "10.0.0.2:8501")).target == "ipv4:10.0.0.1:8500,10.0.0.2:8501"
    assert ClientConfig(address=("[::1]:8500", "[::2]:8500")).target == "ipv6:[::1]:8500,[::2]:8500"


@pytest.mark.parametrize("address", [("a:1", "b:2"), ("10.0.0.1:1", "[::1]:1"), ("10.0.0.1", "10.0.0.2"), (), ""])
def test_addresses_that_make_no_target_are_refused(address: object) -> None:
    with pytest.raises(ConfigError, match="address"):
        ClientConfig(address=address)


def test_arguments_win_over_the_config() -> None:
    base = ClientConfig(address="shop:8500", timeout=2, attempts=7, bearer_token="t", tls=Tls(b"pem"))
    assert client_config(None, None, base) == base
    changed = client_config("other:1", 3, base)
    assert changed == base.model_copy(update={"address": "other:1", "timeout": 3.0})
    assert client_config(None, None, None) == ClientConfig()


def test_a_client_names_the_setting_that_it_cannot_use() -> None:
    with pytest.raises(ConfigError, match="timeout: received 0"):
        SearchClient(timeout=0)
    with pytest.raises(ConfigError, match="address"):
        SearchClient(("a:1", "b:2"))


def test_a_token_travels_in_plain_text_only_within_the_machine() -> None:
    for local in (
        "127.0.0.1:1",
        "localhost:1",
        "unix:/run/tandem",
        "dns:///localhost:1",
        ("127.0.0.1:1", "127.0.0.2:1"),
    ):
        ClientConfig(address=local, bearer_token="t")
    ClientConfig(address="shop:1", bearer_token="t", tls=Tls())
    for remote in ("shop:1", "dns:///shop:1", "10.0.0.1:1", ("127.0.0.1:1", "10.0.0.1:1")):
        with pytest.raises(ConfigError, match="in plain text; set tls"):
            ClientConfig(address=remote, bearer_token="t")


@pytest.mark.parametrize("key", ["Shop", "shöp", "a b", "", "x-bin", "grpc-timeout"])
def test_metadata_keys_are_those_that_grpc_sends(key: str) -> None:
    with pytest.raises(ConfigError, match="metadata: received the key"):
        ClientConfig(metadata={key: "x"})


def test_a_key_comes_with_its_chain_and_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="private_key and certificate_chain together"):
        Tls(private_key=b"key")
    assert "secret" not in repr(Tls(private_key=b"secret", certificate_chain=b"chain"))


KEY = "c2VjcmV0IGtleSBtYXRlcmlhbA"
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n"


def test_pem_comes_as_bytes_as_text_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    for key in (PEM, PEM.encode(), tmp_path / "key.pem", str(tmp_path / "key.pem")):
        assert Tls(private_key=key, certificate_chain=b"chain").pem()["private_key"] == PEM.encode()


@pytest.mark.parametrize("key", [f"{KEY}\n{KEY}", f"{KEY}\r{KEY}", 7, f"\0{KEY}\n"])
def test_no_error_holds_key_material(key: object) -> None:
    with pytest.raises(ConfigError, match="tls private_key: received") as error:
        SearchClient(config=ClientConfig(tls=Tls(private_key=key, certificate_chain=b"chain")))
    assert KEY not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "shop:1", "bearer_token": KEY},
        {"bearer_token": KEY, "timeout": 0},
        {"bearer_token": f" {KEY}"},
        {"bearer_token": f"{KEY}\n{KEY}"},
        {"bearer_token": [KEY]},
        {"bearer_tokn": KEY},
        {"tls": PEM},
        {"tls": {"private_key": [PEM]}},
        {"metadata": KEY},
        {"metadata": {"key": [KEY]}},
        {"metadata": {"key": f"{KEY}\n"}},
    ],
)
def test_settings_are_refused_without_the_secrets_among_them(settings: dict[str, object]) -> None:
    class Shop(BaseModel):
        client: ClientConfig

    for make in (lambda: ClientConfig(**settings), lambda: Shop(client=settings)):
        with pytest.raises(ConfigError, match="the client has") as error:
            make()
        assert KEY not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__  # pydantic's error, which a traceback would print


def test_a_config_does_not_print_what_is_secret() -> None:
    config = ClientConfig(bearer_token=KEY, metadata={"key": KEY}, tls=Tls(KEY.encode(), PEM, PEM))
    assert KEY not in repr(config)


def test_the_line_end_of_a_token_file_is_no_part_of_the_token() -> None:
    token = ClientConfig(bearer_token="t\r\n").bearer_token
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() == "t"


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, 1e30, 86_401, "1", True])
def test_a_timeout_is_seconds_of_at_most_a_day(timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"timeout: received .*: Input should be"):
        SearchClient(timeout=timeout)
    for seconds in (1, 0.5, 86_400, np.float64(2)):
        assert ClientConfig(timeout=seconds).timeout == seconds


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hedge_after", math.inf),
        ("hedge_after", 1e30),
        ("max_backoff", math.inf),
        ("keepalive_seconds", math.inf),
        ("keepalive_seconds", 1e7),  # 1e10 milliseconds, more than C's int holds
        ("keepalive_timeout_seconds", 1e7),
        ("max_message_bytes", 2**40),
    ],
)
def test_settings_that_grpc_cannot_hold_are_named(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{setting}: received"):
        ClientConfig(**{setting: value})
