"""The token that REST and HandleReloadConfigRequest ask for, where one is set."""

import hmac
from pathlib import Path

import grpc

from catalog.errors import ConfigError
from serving.errors import Rejection


class Token:
    """A secret that callers show as `authorization: Bearer SECRET`.

    Args:
        secret: what they must know.
    """

    def __init__(self, secret: str) -> None:
        self._expected = f"Bearer {secret}".encode()

    def __repr__(self) -> str:
        return "Token(...)"

    def check(self, authorization: str) -> None:
        """Accept a caller's `authorization`; the comparison takes as long whatever it holds.

        Raises:
            Rejection: UNAUTHENTICATED.
        """
        if not hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), self._expected):
            raise Rejection(
                grpc.StatusCode.UNAUTHENTICATED, "the call needs the server's token, as `authorization: Bearer TOKEN`"
            )


def read_token(path: Path) -> Token:
    """Read a token file: one line, spaces around it ignored.

    Raises:
        ConfigError: if it cannot be read, is empty, or holds what no header carries.
    """
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the token cannot be read: {type(error).__name__}") from error
    if not secret or not secret.isprintable() or " " in secret:
        raise ConfigError(f"{path}: expected a token of printable characters without spaces on one line")
    return Token(secret)
