"""What can go wrong between a client and a server."""

import re
from pathlib import Path

import grpc

from catalog.errors import ArtifactError, TandemError

_TRACE = re.compile(r"\n[^\n]*(?:most recent call last|[Ss]tack trace)")
_PATH = re.compile(r"(?<![\w/.{])(?:/[\w.+@%=-]+)*/([\w.+@%=-]+)")
_MESSAGE_LIMIT = 1024  # bytes: kErrorMessageLimit of TF Serving's grpc_status_util.cc


class ServingError(TandemError):
    """A request that was not answered, or a server that cannot start; the text says why and what to do."""


class ServerUnavailableError(ServingError):
    """Nobody listens at the address, or the server refuses work."""


class DeadlineError(ServingError):
    """The answer did not come within the timeout."""


class ModelNotFoundError(ServingError):
    """The server runs, but holds no such model or version."""


class BadRequestError(ServingError):
    """The request cannot be answered as it is: the caller's fault."""


class Rejection(ServingError):
    """A request that the server answers with an error status.

    Args:
        code: the gRPC status code.
        message: what the client reads; cut at 1024 bytes of UTF-8 as TF Serving does.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def details(self) -> str:
        """The message as it goes over the wire: in three bytes for each one that is not ASCII, and a client refuses
        more than 8 KiB."""
        text = self.message.encode()
        if len(text) <= _MESSAGE_LIMIT:
            return self.message
        return text[:_MESSAGE_LIMIT].decode(errors="ignore") + "...TRUNCATED"


class LoadError(ArtifactError):
    """A SavedModel that cannot be loaded.

    Args:
        code: the status that TensorFlow ended with. reason: what it said.
    """

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(f"the SavedModel cannot be loaded: {reason}")
        self.code, self.reason = code, reason


def invalid_argument(message: str) -> Rejection:
    """INVALID_ARGUMENT, the status of nearly every refused request."""
    return Rejection(grpc.StatusCode.INVALID_ARGUMENT, message)


def as_rejection(error: Exception, path: Path | None = None) -> Rejection:
    """The status of whatever went wrong with a version in the folder `path`, without the server's paths."""
    said = error.reason if isinstance(error, LoadError) else str(error)
    text = without_insides(said, path) or type(error).__name__
    if isinstance(error, Rejection | LoadError):
        return Rejection(error.code, text)
    if isinstance(error, ServingError):
        return Rejection(grpc.StatusCode.UNKNOWN, text)
    return invalid_argument(text)


def without_insides(message: str, path: Path | None = None) -> str:
    """What a kernel says, for a client: no stack trace, and of a file's path its name only.

    Args:
        message: TensorFlow's.
        path: the version's folder, known even where its path has spaces in it.
    """
    trace = _TRACE.search(message)
    told = message[: trace.start()] if trace else message
    if path is not None and path.parent.name:
        told = told.replace(str(path.parent), "/base")
    return _PATH.sub(r"\1", told)


def status_of(number: int) -> grpc.StatusCode:
    """The gRPC status with TensorFlow's error code `number`; the two lists share their numbers."""
    return _STATUS_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


_STATUS_BY_NUMBER: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}
