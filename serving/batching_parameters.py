"""When requests are merged, and what may wait meanwhile."""

import os
from dataclasses import dataclass

from pydantic import Field, model_validator

from catalog.config import Config


class BatchingParameters(Config):
    """The parameters of `--batching_parameters_file` (session_bundle_config.proto, BatchingParameters)."""

    max_batch_size: int = Field(1000, ge=1, description="Rows of a request at most, and of a batch.")
    batch_timeout_micros: int = Field(0, ge=0, description="How long the first request of a batch waits for others.")
    max_enqueued_batches: int = Field(10, ge=1, description="Full batches that may wait, of one kind of request.")
    num_batch_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Batches that run at a time; one a core."
    )
    allowed_batch_sizes: tuple[int, ...] = Field((), description="Sizes that batches are padded to; any if empty.")
    pad_variable_length_inputs: bool = Field(False, description="Merge requests of different lengths, padded alike.")
    enable_large_batch_splitting: bool = Field(False, description="Let max_execution_batch_size count.")
    max_execution_batch_size: int | None = Field(
        None, ge=1, description="Rows of a batch at most, where that is less; a larger request runs in pieces."
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> "BatchingParameters":
        sizes = self.allowed_batch_sizes
        if sizes and (sorted(set(sizes)) != list(sizes) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                f"allowed_batch_sizes must rise and end with max_batch_size, {self.max_batch_size}; received {sizes}"
            )
        if self.execution_batch_size > self.max_batch_size:
            raise ValueError(
                f"max_execution_batch_size must be at most max_batch_size, {self.max_batch_size}; "
                f"received {self.execution_batch_size}"
            )
        return self

    @property
    def execution_batch_size(self) -> int:
        """Rows of a batch at most."""
        wanted = self.max_execution_batch_size if self.enable_large_batch_splitting else None
        return wanted or self.max_batch_size

    def padded(self, size: int) -> int:
        """The smallest allowed size that holds `size` rows."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


@dataclass(frozen=True)
class ByteLimits:
    """What requests may hold; TF Serving knows no such limits.

    Requests of one kind agree in shapes, as they came or once padded, so that only their text can differ in size. One
    whose text is far longer than any shopper's would hold up those it is merged with: it runs by itself, beside the
    others.

    Attributes:
        merged_text: bytes of text, for each row, of a request that may be merged. A row of this project's models is a
            query of up to 4,000 bytes and 50 events of some dozen bytes each.
        enqueued: bytes of the requests that wait or run to be merged.
        enqueued_large: bytes of those that wait or run by themselves.
        large: how many of those there may be; each holds one of the server's threads.
        large_threads: how many of them run at a time.
    """

    merged_text: int = 64 << 10
    enqueued: int = 256 << 20
    enqueued_large: int = 128 << 20
    large: int = 8
    large_threads: int = 1


DEFAULT_BYTE_LIMITS = ByteLimits()
