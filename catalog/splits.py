"""Train, rerank, validation and test: four slices of days that follow each other, by time alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from catalog.config import Config
from catalog.errors import ConfigError

SECONDS_PER_DAY = 86_400
_JUDGED_FOR_TRAINING = 0.7
SLICE_NAMES = ("towers", "rerank", "validation", "test")


class SplitsConfig(Config):
    """How many of the log's last days go to each slice; the towers train on all days before them."""

    rerank_days: int = Field(7, ge=1, description="days the reranker trains on, after the towers' days")
    validation_days: int = Field(3, ge=1, description="days that choose epochs and settings, after the reranker's")
    test_days: int = Field(3, ge=1, description="the last days, which only the evaluation reads")


@dataclass(frozen=True)
class Slices:
    """Half-open ranges of day numbers, one after the other; day 0 starts at midnight UTC before the first event.

    Attributes:
        towers: [0, a). rerank: [a, b). validation: [b, c). test: [c, d), where d is the number of days of the log.
    """

    towers: tuple[int, int]
    rerank: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    def __post_init__(self) -> None:
        ranges = self.ranges
        ends = [end for _, end in ranges]
        starts = [start for start, _ in ranges]
        if starts != [0, *ends[:-1]] or any(start >= end for start, end in ranges):
            raise ValueError(f"slices must follow each other from day 0 and hold a day each, received {ranges}")

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The four ranges in the order of `SLICE_NAMES`."""
        return self.towers, self.rerank, self.validation, self.test

    @property
    def days(self) -> int:
        """Days of the log."""
        return self.test[1]

    def codes(self, days: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Slice of each day: 0 towers, 1 rerank, 2 validation, 3 test."""
        ends = [end for _, end in self.ranges[:-1]]
        return np.searchsorted(ends, np.asarray(days), side="right").astype(np.int8)


def slice_days(days: int, config: SplitsConfig) -> Slices:
    """Cut a log of `days` days: the last `test_days` are the test, and so on backwards.

    Raises:
        ConfigError: if no day is left for the towers.
    """
    held = config.rerank_days + config.validation_days + config.test_days
    if days <= held:
        raise ConfigError(
            f"the event log has {days} day(s), but the slices need at least {held + 1}: 1 for the towers, "
            f"{config.rerank_days} for the reranker (rerank_days), {config.validation_days} for validation "
            f"(validation_days) and {config.test_days} for the test (test_days); "
            "bring a longer log or lower these settings"
        )
    a = days - held
    b = a + config.rerank_days
    c = b + config.validation_days
    return Slices(towers=(0, a), rerank=(a, b), validation=(b, c), test=(c, days))


def folded_query(query: str) -> str:
    """What a query is known by: neither case nor blanks count."""
    return " ".join(query.lower().split())


def judgments_for_training(queries: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which judged queries a model may learn from: seven of ten, by a hash of the query; evaluation keeps the rest.

    Judgments have no time, so it is the queries that are kept apart.
    """
    digests = (hashlib.sha256(folded_query(query).encode()).digest() for query in queries)
    shares = [int.from_bytes(digest[:4], "big") / 2**32 for digest in digests]
    return np.array(shares, np.float64) < _JUDGED_FOR_TRAINING
