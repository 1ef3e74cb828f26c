"""gRPC channels for probes (health check, doctor): plain, TLS or mutual TLS; imports nothing heavy."""

from pathlib import Path

import grpc

from catalog.errors import ConfigError
from serving.addresses import proxy_options

_OPTIONS = (
    # An answer to a batch of requests is larger than gRPC's own limit of 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)


def read_tls(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> grpc.ChannelCredentials | None:
    """Credentials from PEM files; None, for a plain channel, when there is none.

    Args:
        ca: of the CA that signed the server's certificate; without it, but with a client certificate, the system's.
        cert, key: the client's certificate and private key, for mutual TLS.

    Raises:
        ConfigError: if a file cannot be read, or one of certificate and key is missing.
    """
    if (cert is None) != (key is None):
        raise ConfigError("a client certificate and its key go together: give both, or neither")
    if ca is None and cert is None:
        return None
    return grpc.ssl_channel_credentials(*(None if path is None else _read(path) for path in (ca, key, cert)))


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """A channel to host:port, plain without `credentials` of `read_tls`; connecting happens at the first call."""
    options = [*_OPTIONS, *proxy_options(address)]
    if credentials is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, credentials, options)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
