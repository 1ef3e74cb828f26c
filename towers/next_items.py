"""Next items: the windows of users' histories, and the targets drawn from all their positions."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from towers.config import TowersConfig

Batch = dict[str, npt.NDArray[np.generic]]
Rows = npt.NDArray[np.int32]
Part = tuple[Batch, Rows, Rows, npt.NDArray[np.float32]]


class NextItems:
    """The interactions of the towers' slice as targets, each asked for by the events before it.

    Args:
        features: the log.
        profile: [U, P] int32, profile values of the users as table rows.
        config: of the towers.

    Attributes:
        weight: [E] float32, of each interaction as a target; 0 for those that are none.
        window_count: windows of the history's length that it takes to hold every interaction once.
    """

    def __init__(self, features: FeatureStore, profile: Rows, config: TowersConfig) -> None:
        self._features, self._profile, self._config = features, profile, config
        self._inside = features.day(features.interaction_timestamp) < features.slices.towers[1]
        self._start, self._stop = self._bounds()
        self.weight = self._weights()
        self.window_count = int(np.ceil((self._stop - self._start) / config.history.length).sum())

    @property
    def targets(self) -> Rows:
        """The product of every target."""
        return self._features.interaction_product[self.weight > 0]

    def _bounds(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where each user's interactions of the slice start and stop, for the users who have any."""
        features = self._features
        counted = np.concatenate([[0], np.cumsum(self._inside)])
        start = features.user_start[:-1]
        stop = start + counted[features.user_start[1:]] - counted[start]
        return start[stop > start], stop[stop > start]

    def _weights(self) -> npt.NDArray[np.float32]:
        features = self._features
        weights = np.where(features.interaction_target, features.interaction_weight, 0.0)
        weights[self._start] = features.interaction_weight[self._start]  # the first event, asked for with no history
        return np.where(self._inside, weights, 0.0).astype(np.float32)

    def windows(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """[windows, 2] first and last + 1 of the targets of each sequence; long users are cut at a random place."""
        length = self._config.history.length
        pieces = []
        for start, stop in zip(self._start.tolist(), self._stop.tolist(), strict=True):
            first = start + int(rng.integers(1, length + 1)) if stop - start > length else stop
            cuts = [start, *range(first, stop, length), stop]
            pieces += list(pairwise(cuts))
        return np.asarray(pieces, np.int64).reshape(-1, 2)

    def draw(self, windows: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> Part:
        """The sequences of some windows, and targets from all their positions.

        Args:
            windows: [W, 2], of `windows`. count: T, of the targets.
            rng: draws them.

        Returns:
            The batch's sequence_* and item_* arrays (see `towers.batches.Batches`); product, day and weight, [T].
        """
        features, config = self._features, self._config
        length = config.history.length
        if not count:
            return self._nothing()
        users = features.interaction_user[windows[:, 0]]
        # A window's inputs end one event before its last target, so that slot `length - 1` answers for that target.
        rows, kinds, timestamps = features.history(users, windows[:, 1] - 1, length)
        positions = np.concatenate([np.arange(first, last) for first, last in windows])
        window = np.repeat(np.arange(len(windows)), windows[:, 1] - windows[:, 0])
        usable = np.flatnonzero(self.weight[positions] > 0)
        if not len(usable):
            usable = np.zeros(1, np.int64)  # a batch without any target: its weights are all zero
        taken = rng.permutation(usable) if len(usable) >= count else rng.choice(usable, count)
        positions, window = positions[taken[:count]], window[taken[:count]]
        slot = length - 1 - (windows[window, 1] - 1 - positions)
        user = users[window]
        first = positions == features.user_start[user]
        counted = self.weight[positions] > 0
        weights = np.where(counted, self.weight[positions] ** config.training.weight_power, 0).astype(np.float32)
        batch: Batch = {
            "sequence_rows": rows,
            "sequence_kinds": kinds,
            "sequence_timestamps": timestamps,
            "item_slot": np.where(first, -1, window * length + slot).astype(np.int32),
            "item_timestamp": features.interaction_timestamp[positions],
            "item_profile": self._profile[user],
        }
        days = features.day(features.interaction_timestamp[positions])
        return batch, features.interaction_product[positions], days, weights

    def _nothing(self) -> Part:
        length, none = self._config.history.length, np.zeros(0, np.int32)
        batch: Batch = {
            "sequence_rows": np.zeros((0, length), np.int32),
            "sequence_kinds": np.zeros((0, length), np.int32),
            "sequence_timestamps": np.zeros((0, length), np.int64),
            "item_slot": none,
            "item_timestamp": none.astype(np.int64),
            "item_profile": np.zeros((0, self._profile.shape[1]), np.int32),
        }
        return batch, none, none, none.astype(np.float32)
