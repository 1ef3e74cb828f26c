"""Whether products that nobody had met are found as well as known ones that are wanted as much."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.splits import SECONDS_PER_DAY
from evaluation.arrays import Floats, Ints, Mask, Rows
from evaluation.boards import PlainTable
from evaluation.report import Claim, interval_claim
from evaluation.significance import Interval, paired_intervals

BAR = 0.70
LAUNCHED_LATER = "launched after training"
NEVER_MET = "launched after training, no event before the snapshot"
_DEPTH = 100
_PLACES = (0, 10, 25, 50, 100)  # where the bins of the wanted set begin and end, by appeal


def cold_products(features: FeatureStore, before: int) -> dict[str, Mask]:
    """Masks over the catalogue of what the towers cannot have met, [N] each, and under "known" of what they could.

    Args:
        features: the shop's features.
        before: seconds, the release's snapshot; events from then on are unknown to it.

    Returns:
        LAUNCHED_LATER: launched, and first seen in any event, impressions too, after the towers' slice ended.
        NEVER_MET: those of them without any event before the snapshot.
        "known": launched in the towers' slice or before. A product that is in neither was on sale before its launch.
    """
    training_end = features.slices.towers[1]
    met = _met(features, features.day0 + training_end * SECONDS_PER_DAY)
    later = (features.launched >= training_end) & ~met
    return {
        LAUNCHED_LATER: later,
        NEVER_MET: later & ~_met(features, before),
        "known": features.launched < training_end,
    }


def _met(features: FeatureStore, before: int) -> Mask:
    """[N] whether a product had any event before that second."""
    met = np.zeros(len(features.launched), dtype=bool)
    met[features.interaction_product[features.interaction_timestamp < before]] = True
    shown_at = np.repeat(features.request_timestamp, np.diff(features.impression_start))
    met[features.impression_product[shown_at < before]] = True
    return met


@dataclass(frozen=True)
class MatchedRecall:
    """Cold wanted products, and what known ones in their place would have; P pairs of a request and a product.

    Args:
        request, product: [P] rows.
        found: [P] 1 for a product among the first hundred, else 0.
        expected: [P] the recall of the known wanted products of the same cell.
    """

    request: Ints
    product: Ints
    found: Floats
    expected: Floats


def matched_recall(
    rankings: Rows, wanted: Rows, grades: npt.NDArray[np.uint8], cold: Mask, known: Mask, k: int = _DEPTH
) -> MatchedRecall:
    """Recall@k of cold products beside that of known ones of equal true relevance to the same request.

    Wanted products of one request are compared in cells of one grade and one range of places by appeal (1 to 10, to
    25, to 50, to 100). Each cold product is worth one; beside it stands the mean over the known products of its cell.
    A cold product whose cell holds no known one is left out on both sides.

    Args:
        rankings: [R, K] of one system. wanted: [R, W], the greatest appeal first, -1 for none. grades: [R, W].
        cold, known: [N].
        k: depth.
    """
    count, width = wanted.shape
    place = np.searchsorted(_PLACES, np.arange(width), side="right")
    cells = (len(_PLACES) + 1) * (int(grades.max(initial=0)) + 1)
    cell = np.arange(count)[:, None] * cells + grades.astype(np.int64) * (len(_PLACES) + 1) + place
    present = wanted >= 0
    rows = np.maximum(wanted, 0)
    hits = _found(rankings[:, :k], wanted, len(cold))
    is_known, is_cold = present & known[rows], present & cold[rows]
    total = np.bincount(cell[is_known], minlength=count * cells)
    right = np.bincount(cell[is_known], hits[is_known], minlength=count * cells)
    is_cold &= total[cell] > 0
    rate = np.divide(right, total, out=np.zeros(len(total)), where=total > 0)
    request, column = np.nonzero(is_cold)
    return MatchedRecall(
        request, rows[request, column], hits[request, column].astype(np.float64), rate[cell[request, column]]
    )


def _found(rankings: Rows, wanted: Rows, products: int) -> Mask:
    """[R, W] whether each wanted product stands in its request's ranking."""
    found = np.zeros(wanted.shape, dtype=bool)
    listed = np.zeros(products + 1, dtype=bool)  # the last place takes the padding
    for number, (ranked, asked) in enumerate(zip(rankings, wanted, strict=True)):
        listed[ranked] = True
        listed[-1] = False
        found[number] = listed[asked]
        listed[ranked] = False
    return found


@dataclass(frozen=True)
class ColdRow:
    """One system on one group of cold products.

    Args:
        group, system: what and who. requests: with a cold wanted product. products: pairs of a request and a product.
        cold: recall@100 of the cold. known: of the known at equal relevance. ratio: with its interval.
    """

    group: str
    system: str
    requests: int
    products: int
    cold: float
    known: float
    ratio: Interval


def cold_rows(
    rankings: dict[str, Rows],
    wanted: Rows,
    grades: npt.NDArray[np.uint8],
    groups: dict[str, Mask],
    users: npt.NDArray[np.generic],
    seed: int = 0,
) -> list[ColdRow]:
    """Every system on every group of `cold_products`; groups that nobody wants anything of are left out.

    Args:
        rankings: system -> [R, K]. wanted, grades: as in `matched_recall`. groups: as `cold_products` gives them.
        users: [R], of the requests; the bootstrap resamples them and, apart, the products. seed: of the bootstrap.
    """
    rows = []
    for group, cold in groups.items():
        if group == "known":
            continue
        for system, ranked in rankings.items():
            matched = matched_recall(ranked, wanted, grades, cold, groups["known"])
            pairs = len(matched.request)
            if not pairs:
                continue
            alike = (users[matched.request], matched.product)
            _, ratio = paired_intervals(matched.found, matched.expected, alike, seed=seed)
            found, expected = float(matched.found.mean()), float(matched.expected.mean())
            rows.append(ColdRow(group, system, len(np.unique(matched.request)), pairs, found, expected, ratio))
    return rows


def cold_table(rows: list[ColdRow], key: str, title: str) -> PlainTable:
    """The rows as a block of the report."""
    note = (
        "Wanted products that the towers never met, beside known ones with the same grade and about the same appeal to "
        "the same request (cells of places 1 to 10, 25, 50, 100 of what is wanted). 95 % intervals by user or by "
        "product, the wider."
    )
    columns = (
        "products",
        "system",
        "requests",
        "pairs",
        "recall@100",
        "of known, equal relevance",
        "ratio",
        "from",
        "to",
    )
    cells = tuple(
        (row.group, row.system, row.requests, row.products, row.cold, row.known, *_three(row.ratio)) for row in rows
    )
    return PlainTable(key, title, note, columns, cells)


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def cold_claims(rows: list[ColdRow], task: str, system: str) -> list[Claim]:
    """Whether `system` finds products launched after training as well as it must."""
    return [
        interval_claim(
            f"{task.capitalize()} recall@100 of products {row.group}, over that of known ones of equal true relevance",
            row.ratio,
            row.ratio.estimate >= BAR,
            f"estimate at least {BAR:.2f}",
            f" ({row.cold:.3f} over {row.known:.3f})",
        )
        for row in rows
        if row.system == system and row.group == LAUNCHED_LATER
    ]
