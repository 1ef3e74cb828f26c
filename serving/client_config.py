"""What a client is told: where the servers are, how long it waits, how often it tries, and who it says it is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from catalog.config import Config, unusable
from catalog.errors import ConfigError
from serving.addresses import family, is_local

Pem = bytes | str | PathLike[str]
"""PEM text as bytes, or as a str that holds `-----BEGIN`; any other str is the path of a file that holds it."""

LONGEST_TIMEOUT = 86_400.0
"""Seconds, a day: gRPC and the waits of Python's threads overflow far beyond it, each in its own way."""

_MOST_C_INT = 2**31 - 1  # gRPC's channel arguments are C's int, times in milliseconds
_METADATA_KEY = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")  # what gRPC sends as text


@dataclass(frozen=True)
class Tls:
    """How the connection is secured. With none of them: TLS against the authorities that gRPC knows.

    Attributes:
        root_certificates: the authorities that the server's certificate is checked against.
        private_key, certificate_chain: who this client is, for a server that asks (mTLS); both or neither.
        server_name: the name in the server's certificate where it is not the address's.

    Raises:
        ConfigError: for a key without its chain; and, when a client is made, for a file that cannot be read.
    """

    root_certificates: Pem | None = None
    private_key: Pem | None = field(default=None, repr=False)
    certificate_chain: Pem | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ConfigError("tls: expected private_key and certificate_chain together, or neither")

    def pem(self) -> dict[str, bytes | None]:
        """The three as bytes, named as `grpc.ssl_channel_credentials` names them; ConfigError if one is not read."""
        names = ("root_certificates", "private_key", "certificate_chain")
        return {name: _read_pem(name, getattr(self, name)) for name in names}


class ClientConfig(Config):
    """Settings of `SearchClient` and `AsyncSearchClient`; docs/client.md tells how they play together.

    Raises:
        ConfigError: with one line for each setting that cannot be used; secrets are not shown.
    """

    model_config = ConfigDict(allow_inf_nan=False, hide_input_in_errors=True)

    address: str | tuple[str, ...] = Field(
        "127.0.0.1:8500",
        description="host:port, a gRPC target (dns:///tandem:8500), or several IP:port that share the requests.",
    )
    version_label: str | None = Field(
        None, min_length=1, description="Ask the versions that the server's model config labels so; None: the newest."
    )
    timeout: float = Field(
        5.0, gt=0, le=LONGEST_TIMEOUT, strict=True, description="Seconds that one call may take in all, with retries."
    )
    attempts: int = Field(3, ge=1, le=10, description="How often a request is sent when nobody answers; 1: once.")
    initial_backoff: float = Field(
        0.05, gt=0, description="Longest pause before the first retry, seconds; it doubles with each."
    )
    max_backoff: float = Field(1.0, gt=0, description="Longest pause before any retry, seconds.")
    retry_tokens: float = Field(
        10.0, gt=0, le=1000, description="A failure takes one token; nothing is retried or hedged at half or fewer."
    )
    retry_token_ratio: float = Field(0.1, gt=0, le=1, description="Tokens that an answer gives back.")
    hedge_after: float | None = Field(
        None,
        gt=0,
        le=LONGEST_TIMEOUT,
        description="Seconds after which the same request is sent again, and the first answer taken.",
    )
    load_balancing: Literal["round_robin", "pick_first"] = Field(
        "round_robin", description="How requests are shared between the addresses: in turn, or all to the first."
    )
    keepalive_seconds: float = Field(
        300.0,
        gt=0,
        le=_MOST_C_INT // 1000,
        description="Silence after which the connection is probed; servers refuse less than 300 as shipped.",
    )
    keepalive_timeout_seconds: float = Field(
        10.0, gt=0, le=_MOST_C_INT // 1000, description="How long a peer may leave data unacknowledged."
    )
    keepalive_without_calls: bool = Field(False, description="Probe idle connections too; the server must permit it.")
    max_message_bytes: int = Field(
        64 << 20, ge=1 << 10, le=_MOST_C_INT, description="Largest request and largest answer."
    )
    tls: Tls | None = Field(None, repr=False, description="How the connection is secured; None for plain text.")
    bearer_token: SecretStr | Callable[[], str] | None = Field(
        None, repr=False, description="Sent as `authorization: Bearer ...`; a function is asked before every call."
    )
    metadata: Mapping[str, str] = Field(default_factory=dict, repr=False, description="Sent with every request.")

    @field_validator("address")
    @classmethod
    def _addresses(cls, address: str | tuple[str, ...]) -> str | tuple[str, ...]:
        _target(address)
        return address

    @field_validator("bearer_token", mode="before")
    @classmethod
    def _token(cls, token: Any) -> Any:
        if token is None or callable(token):
            return token
        text = token.get_secret_value() if isinstance(token, SecretStr) else token
        fault = token_fault(text)
        if fault is not None:
            raise ValueError(fault)
        return SecretStr(text.rstrip("\r\n"))

    @field_validator("metadata")
    @classmethod
    def _metadata(cls, metadata: Mapping[str, str]) -> Mapping[str, str]:
        fault = metadata_fault(metadata)
        if fault is not None:
            raise ValueError(fault)
        return metadata

    @model_validator(mode="after")
    def _token_is_kept_secret(self) -> "ClientConfig":
        if self.bearer_token is not None and self.tls is None and not is_local(self.target):
            raise ValueError(f"bearer_token: {self.target} would get it in plain text; set tls, or ask a local proxy")
        return self

    @model_validator(mode="wrap")  # the last one: it stands around those above
    @classmethod
    def _faults_are_told(cls, values: Any, handler: ModelWrapValidatorHandler["ClientConfig"]) -> "ClientConfig":
        try:
            return handler(values)
        except ValidationError as error:
            raise unusable(cls, error, "the client") from None  # pydantic's own error holds what came, secrets too

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        return _target(self.address)


def client_config(
    address: str | tuple[str, ...] | None, timeout: float | None, base: ClientConfig | None
) -> ClientConfig:
    """The settings of a client that was given these two beside or instead of a config; ConfigError if unusable."""
    given = {"address": address, "timeout": timeout}
    values: dict[str, Any] = {} if base is None else dict(base)
    values.update({name: value for name, value in given.items() if value is not None})
    return ClientConfig(**values)


def token_fault(token: Any) -> str | None:
    """Why a bearer token cannot be sent, without showing it; None if it can, but for line ends after it."""
    if not isinstance(token, str):
        return f"received {type(token).__name__}; expected the token as text"
    text = token.rstrip("\r\n")
    if not text or text.strip() != text or not (text.isascii() and text.isprintable()):
        return "received a token that is empty, no printable ASCII, or has blanks around it; expected it as issued"
    return None


def metadata_fault(metadata: Any) -> str | None:
    """What gRPC would not send of it; None if it sends everything."""
    if not isinstance(metadata, Mapping):
        return f"metadata: received {type(metadata).__name__}; expected a mapping of text to text"
    for key, value in metadata.items():
        if not isinstance(key, str) or not _METADATA_KEY.fullmatch(key):
            return f"metadata: received the key {key!r}; expected lower-case ASCII, without grpc- before or -bin after"
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            return f"metadata {key}: received a value that is not printable ASCII"
    return None


def _target(address: str | tuple[str, ...]) -> str:
    """Several addresses are one target where they are IP addresses of one family; ValueError where they are not."""
    addresses = (address,) if isinstance(address, str) else address
    if not addresses or not all(addresses):
        raise ValueError("expected host:port")
    if len(addresses) == 1:
        return addresses[0]
    families = {family(each) for each in addresses}
    if len(families) > 1 or None in families:
        raise ValueError("several addresses are IP:port, all of one family; put host names behind one DNS name")
    return f"{families.pop()}:{','.join(addresses)}"


def _read_pem(name: str, value: Pem | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str) and "-----BEGIN" in value:
        return value.encode()
    if not isinstance(value, str | PathLike):
        raise ConfigError(f"tls {name}: received {type(value).__name__}; expected PEM, or the path of a file with it")
    if {"\n", "\r"} & set(str(value)):  # a key that lost its first line: not for a log
        raise ConfigError(f"tls {name}: received several lines without -----BEGIN; expected PEM, or a path")
    try:
        return Path(value).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"tls {name}: received {value}, which cannot be read: {reason}") from error
