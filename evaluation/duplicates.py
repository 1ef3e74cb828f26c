"""Answers and relevance with duplicates counted once: a title, not a product, is what is found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from evaluation.aligned_truth import TruthLike
from evaluation.arrays import ABSENT, Floats, Gains, Mask, Rows, compact, first_occurrences
from evaluation.relevance import Relevance
from evaluation.requests import Requests

Number = TypeVar("Number", bound=np.generic)


def groups_of(rows: Rows, groups: Rows) -> Rows:
    """The group of each ranked product, [R, K], -1 where there is none.

    Args:
        rows: [R, K] product rows. groups: [N], of `catalog.titles.title_groups`.
    """
    return np.where(rows >= 0, groups[np.maximum(rows, 0)], ABSENT).astype(np.int32)


def collapse(rows: Rows, groups: Rows) -> Rows:
    """Keep the best placed product of each group and close the gaps, [R, K] product rows."""
    return compact(rows, first_occurrences(groups_of(rows, groups)))


def ranked_groups(rows: Rows, groups: Rows) -> Rows:
    """Each ranking as groups, each named once, [R, K]."""
    ranked = groups_of(rows, groups)
    return compact(ranked, first_occurrences(ranked))


def repeats_at(rows: Rows, groups: Rows, k: int) -> Floats:
    """Share of the first k places whose product has the title of one above it, [R]."""
    first = groups_of(rows[:, :k], groups)
    return ((first >= 0) & ~first_occurrences(first)).sum(axis=1) / k


def grouped_requests(requests: Requests, groups: Rows) -> Requests:
    """The same requests with histories of groups, so that a title counts as known once one of its products is."""
    return replace(requests, history_product=groups[requests.history_product])


def grouped_mask(products: Mask, groups: Rows) -> Mask:
    """[G]: any product of the group is in the mask [N]."""
    mask = np.zeros(int(groups.max(initial=-1)) + 1, dtype=bool)
    mask[groups[products]] = True
    return mask


def grouped_relevance(relevance: Relevance, groups: Rows) -> Relevance:
    """A group is as relevant as its most relevant product."""
    owner = np.repeat(np.arange(len(relevance)), np.diff(relevance.start))
    return Relevance.from_pairs(len(relevance), owner, groups[relevance.product], relevance.gain)


class GroupedTruth:
    """A truth whose columns are groups; each has the greatest value of its products in the index.

    Args:
        truth: in the order of the product rows: an `AlignedTruth`.
        groups: [N]. eligible: [N], products in the index; a group without one has 0 everywhere.
    """

    def __init__(self, truth: TruthLike, groups: Rows, eligible: Mask) -> None:
        self._truth = truth
        self._count = int(groups.max(initial=-1)) + 1
        rows = np.flatnonzero(eligible)
        self._order = rows[np.argsort(groups[rows], kind="stable")]
        self._present, self._start = np.unique(groups[self._order], return_index=True)
        self.examination = truth.examination

    @property
    def product_ids(self) -> npt.NDArray[np.str_]:
        """[G], the numbers of the groups."""
        return np.arange(self._count).astype(str)

    def relevance(self, queries: Sequence[str]) -> npt.NDArray[np.uint8]:
        """See `TruthLike`."""
        return self._greatest(self._truth.relevance(queries))

    def appeal(self, user_ids: Sequence[str], session_ids: Sequence[str], queries: Sequence[str]) -> Gains:
        """See `TruthLike`."""
        return self._greatest(self._truth.appeal(user_ids, session_ids, queries))

    def conversion(self, user_ids: Sequence[str]) -> Gains:
        """See `TruthLike`; of another product of the group perhaps than the appeal."""
        return self._greatest(self._truth.conversion(user_ids))

    def _greatest(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        result = np.zeros((len(values), self._count), values.dtype)
        if len(self._order):
            result[:, self._present] = np.maximum.reduceat(values[:, self._order], self._start, axis=1)
        return result
