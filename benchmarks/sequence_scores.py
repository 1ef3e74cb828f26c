"""Where the targets rank among all items, and what that is worth beside the published figures."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.sequence_data import HeldOut, Rows
from evaluation.metrics import ndcg_at, recall_at

DEPTHS = (5, 10, 20)
_CHUNK = 6_000_000  # scores that are held at once, 24 MB

Score = Callable[[Rows], npt.NDArray[np.float32]]

Row = tuple[float, float]

_PUBLISHED: dict[tuple[int, int], tuple[str, dict[str, Row]]] = {
    (22_363, 12_101): (
        "Amazon Beauty",
        {
            "SASRec (in the TIGER paper)": (0.0605, 0.0318),
            "S3-Rec (in the TIGER paper)": (0.0647, 0.0327),
            "TIGER (paper)": (0.0648, 0.0384),
            "ActionPiece (paper)": (0.0775, 0.0424),
            "DuoRec (paper)": (0.0845, 0.0443),
            "HSTU (reproduced by the eSASRec authors)": (0.0788, 0.0439),
            "eSASRec (RecSys 2025)": (0.0928, 0.0523),
            "SASRec + sampled softmax (same authors)": (0.0921, 0.0531),
        },
    ),
    (35_598, 18_357): (
        "Amazon Sports and Outdoors",
        {
            "SASRec (in the TIGER paper)": (0.0350, 0.0192),
            "S3-Rec (in the TIGER paper)": (0.0385, 0.0204),
            "TIGER (paper)": (0.0400, 0.0225),
            "ActionPiece (paper)": (0.0500, 0.0264),
        },
    ),
    (19_412, 11_924): (
        "Amazon Toys and Games",
        {
            "SASRec (in the TIGER paper)": (0.0675, 0.0374),
            "S3-Rec (in the TIGER paper)": (0.0700, 0.0376),
            "TIGER (paper)": (0.0712, 0.0432),
        },
    ),
}
"""(users, items) of a file in the preprocessing of S3-Rec: its name, and test recall@10 and NDCG@10 by its protocol."""


def published(users: int, items: int) -> tuple[str, dict[str, Row]]:
    """The name of the public file with this many users and items and what is published on it; "" and none of others."""
    return _PUBLISHED.get((users, items), ("", {}))


def last_items(histories: tuple[Rows, ...], length: int) -> Rows:
    """[U, H] the last `length` items of each history, -1 on the left where there are fewer; H is the longest's."""
    width = min(length, max(map(len, histories), default=0))
    padded = np.full((len(histories), width), -1, np.int32)
    for row, history in enumerate(histories):
        kept = history[len(history) - min(len(history), width) :]
        padded[row, width - len(kept) :] = kept
    return padded


def target_ranks(held_out: HeldOut, score: Score, length: int, items: int) -> npt.NDArray[np.int64]:
    """[U] how many items stand above each target, the user's own earlier items left out.

    A target that is among the earlier items stays in. Of equal scores the target counts as the last, so that a model
    that tells nothing apart finds nothing.

    Args:
        held_out: histories and targets.
        score: [users, H] histories as `last_items` gives them, to [users, items].
        length: items of a history that are read.
        items: how many there are.
    """
    ranks = np.zeros(len(held_out), np.int64)
    by_length = np.argsort([len(history) for history in held_out.histories], kind="stable")
    users = max(1, _CHUNK // items)
    for chosen in np.split(by_length, range(users, len(by_length), users)):
        histories = tuple(held_out.histories[user] for user in chosen)
        scores = score(last_items(histories, length))
        target = np.take_along_axis(scores, held_out.targets[chosen, None], axis=1)
        below = scores < target  # what is no number stands above: it must not find anything
        np.put_along_axis(below, held_out.targets[chosen, None], True, axis=1)
        for row, history in enumerate(histories):
            below[row, history] = True
            ranks[chosen[row]] = items - np.count_nonzero(below[row])
    return ranks


def metrics(ranks: npt.NDArray[np.int64]) -> dict[str, float]:
    """Mean recall and NDCG at each of DEPTHS of users with one target each, by its rank."""
    hits = ranks[:, None] == np.arange(max(DEPTHS))
    one = np.ones(len(ranks), np.int64)
    return {f"recall@{depth}": float(recall_at(hits, one, depth).mean()) for depth in DEPTHS} | {
        f"ndcg@{depth}": float(ndcg_at(hits.astype(np.float64), one[:, None], depth).mean()) for depth in DEPTHS
    }
