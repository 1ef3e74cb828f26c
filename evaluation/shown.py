"""What the log's pages showed and what came of it: the examples that probability heads are judged on."""

from dataclasses import dataclass

import numpy as np

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.outcomes import HEADS, came_of
from evaluation.arrays import ABSENT, Floats, Gains, Mask, Rows, ragged_indices
from evaluation.requests import Requests


@dataclass(frozen=True)
class ShownLists:
    """The first products of each request's own page, [R, length] each.

    Args:
        rows: int32 product rows, -1 for padding. position: int32, 1-based, 0 for padding.
        labels: of HEADS -> bool, whether it happened, see `came_of`.
    """

    rows: Rows
    position: Rows
    labels: dict[str, Mask]

    @property
    def present(self) -> Mask:
        """Where a product was shown, [R, length]; pick labels and predictions by it before scoring a head."""
        return self.rows >= 0

    def examined(self, examination: Floats) -> Floats:
        """P(examined) of each place, [R, length], 0 for padding.

        A head that predicts for position 1 is calibrated against clicks only after it is multiplied by this.

        Args:
            examination: [P], P(examined) by position from 1, learned or true; deeper positions take the last value.
        """
        place = np.clip(self.position - 1, 0, len(examination) - 1)
        return np.where(self.present, np.asarray(examination, np.float64)[place], 0.0)


def among_candidates(shown: ShownLists, page_scores: Gains, retrieved: Rows, scores: Gains) -> tuple[Rows, Gains]:
    """Each page's products, each at its place on the page, and then the best retrieved ones that it did not show.

    What a reranker says of a product rests on how many candidates retrieval preferred to it, so a page is judged among
    the candidates that a request would have had.

    Args:
        page_scores: [R, length] retrieval's scores of what was shown.
        retrieved: [R, C] rows, best first, -1 for none; C at least as many as the longest page has. scores: theirs.

    Returns:
        [R, C] rows, -1 for none, and their scores, 0 for none.
    """
    width = int(shown.present.sum(1).max(initial=0))
    repeated = (retrieved[:, :, None] == shown.rows[:, None, :width]).any(2)
    rows = np.concatenate([shown.rows[:, :width], np.where(repeated, np.int32(ABSENT), retrieved)], axis=1)
    both = np.concatenate([page_scores[:, :width], scores], axis=1)
    # A place beyond the end of a short page is free; its products stand at its beginning.
    order = np.argsort(rows == ABSENT, axis=1, kind="stable")[:, : retrieved.shape[1]]
    rows, both = np.take_along_axis(rows, order, axis=1), np.take_along_axis(both, order, axis=1)
    return rows, np.where(rows == ABSENT, np.float32(0), both).astype(np.float32)


def shown_lists(features: FeatureStore, requests: Requests, length: int) -> ShownLists:
    """The pages of the requests, cut or padded to `length`.

    Raises:
        DataError: when the requests come from no logged pages.
    """
    if (requests.request < 0).any():
        raise DataError("the requests come from no logged pages; heads can only be judged on what was shown")
    start = features.impression_start
    owner, shown = ragged_indices(start[requests.request], start[requests.request + 1])
    place = shown - start[requests.request][owner]
    owner, shown, place = (column[place < length] for column in (owner, shown, place))
    rows = np.full((len(requests), length), ABSENT, np.int32)
    rows[owner, place] = features.impression_product[shown]
    position = np.zeros_like(rows)
    position[owner, place] = features.impression_position[shown]
    labels = {}
    for head in HEADS:
        labels[head] = np.zeros(rows.shape, dtype=bool)
        labels[head][owner, place] = came_of(features, head, shown)
    return ShownLists(rows, position, labels)
