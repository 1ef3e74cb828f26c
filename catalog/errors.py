"""Errors a user can act on: each says what was received, what was expected and what to do next."""


class TandemError(Exception):
    """Base of every error that is the input's fault. The command line prints it without a traceback."""


class ConfigError(TandemError):
    """A configuration file or value that cannot be used."""


class DataError(TandemError):
    """Input data that cannot be used."""


class ArtifactError(TandemError):
    """A file of an earlier stage that is missing, incomplete or of another version."""
