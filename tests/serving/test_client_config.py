"""Settings of a client: what is taken and what is said about the rest."""

import pytest
from pydantic import ValidationError

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
    with pytest.raises(ValidationError, match="address"):
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
        with pytest.raises(ValidationError, match="in plain text; set tls"):
            ClientConfig(address=remote, bearer_token="t")


@pytest.mark.parametrize("key", ["Shop", "shöp", "a b", "", "x-bin", "grpc-timeout"])
def test_metadata_keys_are_those_that_grpc_sends(key: str) -> None:
    with pytest.raises(ValidationError, match="metadata: received the key"):
        ClientConfig(metadata={key: "x"})


def test_a_key_comes_with_its_chain_and_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="private_key and certificate_chain together"):
        Tls(private_key=b"key")
    assert "secret" not in repr(Tls(private_key=b"secret", certificate_chain=b"chain"))
