"""What the test pages showed and what the reranker said of it; whether its probabilities come true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from evaluation.aligned_truth import AlignedTruth
from evaluation.arrays import Mask, Rows
from evaluation.boards import PlainTable
from evaluation.calibration import (
    CHANCE,
    EXPECTED,
    HIGH,
    LOW,
    PREDICTED,
    RATIO,
    RATIO_TO_TRUTH,
    CalibrationRow,
    calibration_rows,
    parts_by_prediction,
)
from evaluation.heads import HeadScores, log_loss, score_head
from evaluation.position_rates import position_rates
from evaluation.report import Heads
from evaluation.requests import Requests
from evaluation.shown import ShownLists, among_candidates, shown_lists
from evaluation.slices import product_slices, request_slices
from pipelines.judging import Shop
from pipelines.scoring import ReleasedModels
from pipelines.workspace import Workspace

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_CALIBRATION: tuple[str, ...] = (
    "part", "shown", "clicks", PREDICTED, RATIO, LOW, HIGH, CHANCE, "log-loss", "base rate's",
)  # fmt: skip
_EXPECTED = (EXPECTED, RATIO_TO_TRUTH)
_CHUNK = 64  # pages whose appeal is asked at a time: the truth answers for every product
_AT_ONCE = 2000  # pages that the release is asked about at a time: it answers with C product ids a page


@dataclass(frozen=True)
class Pages:
    """What the test pages of one task showed, and what the released reranker says of it.

    shown: [R, C]. rows: [R, C], the products shown, each at its place, and then what else retrieval returned; scores:
    theirs by retrieval. embedding: [R, D]. probabilities: head -> [R, C], at the position where the product stood.
    """

    requests: Requests
    shown: ShownLists
    rows: Rows
    scores: Floats
    embedding: Floats
    probabilities: dict[str, Floats]

    def appeal(self, truth: AlignedTruth, places: npt.NDArray[np.int64]) -> Floats:
        """True P(click | examined) of what the pages at `places` showed, [P, C], 0 for padding."""
        found = np.zeros((len(places), self.shown.rows.shape[1]), np.float32)
        for at in range(0, len(places), _CHUNK):
            some = places[at : at + _CHUNK]
            asked, rows = self.requests.select(some), self.shown.rows[some]
            columns = (asked.user_ids, asked.session_ids, asked.queries)
            every = truth.appeal(*(column.tolist() for column in columns))
            found[at : at + _CHUNK] = np.take_along_axis(every, np.maximum(rows, 0).astype(np.int64), axis=1)
        return np.where(self.shown.rows[places] >= 0, found, np.float32(0))


def reranker_tables(
    workspace: Workspace,
    shop: Shop,
    pages: Sequence[Pages],
    vectors: Floats,
    truth: AlignedTruth | None,
    examination: Floats,
) -> list[PlainTable]:
    """Both tables; none where no test page was logged.

    Args:
        vectors: [N, D] product vectors of the release.
    """
    if not pages:
        return []
    from pipelines.report_importance import importance_table, released_reranker

    reranker = released_reranker(workspace, shop, vectors)
    seed = workspace.config.evaluate.seed
    return [calibration_table(shop, pages, truth), importance_table(reranker, shop, pages, truth, examination, seed)]


def read_pages(
    models: ReleasedModels, shop: Shop, requests: Requests, vectors: Floats, examination: Floats, length: int
) -> Pages | None:
    """The pages of those requests that come from one, among the candidates of each; None where none does.

    Args:
        requests: any number; the release is asked about some of them at a time.
        vectors: [N, D] product vectors, for the retrieval scores of the shown products.
        examination: [P] learned P(examined) by position.
        length: C of the release; longer pages are cut.
    """
    asked = requests.select(requests.request >= 0)
    if not len(asked):
        return None
    places = np.array_split(np.arange(len(asked)), -(-len(asked) // _AT_ONCE))
    parts = [_read_part(models, shop, asked.select(some), vectors, examination, length) for some in places]
    return _joined(asked, parts)


def _read_part(
    models: ReleasedModels, shop: Shop, asked: Requests, vectors: Floats, examination: Floats, length: int
) -> Pages:
    shown = shown_lists(shop.features, asked, length)
    inputs = models.inputs(asked)
    retrieved = models.retrieve(inputs)
    embedding = retrieved["query_embedding"]
    of_page = np.einsum("rd,rcd->rc", embedding, vectors[np.maximum(shown.rows, 0)])
    rows, scores = among_candidates(shown, of_page, retrieved["rows"], retrieved["score"])
    answer = models.score(inputs, {"rows": rows, "score": scores, "query_embedding": embedding})
    examined = shown.examined(examination.astype(np.float64))
    probabilities = {head: (answer[f"{head}_probability"] * examined).astype(np.float32) for head in shown.labels}
    return Pages(asked, shown, rows, scores, embedding, probabilities)


def _joined(asked: Requests, parts: Sequence[Pages]) -> Pages:
    """The pages of all requests from those of parts of them, in order."""
    shown = [part.shown for part in parts]
    heads = tuple(parts[0].probabilities)
    return Pages(
        asked,
        ShownLists(
            np.concatenate([part.rows for part in shown]),
            np.concatenate([part.position for part in shown]),
            {head: np.concatenate([part.labels[head] for part in shown]) for head in heads},
        ),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.embedding for part in parts]),
        {head: np.concatenate([part.probabilities[head] for part in parts]) for head in heads},
    )


def shown_examples(pages: Sequence[Pages], head: str) -> tuple[Mask, Floats]:
    """[n] labels and probabilities of a head for every product that the pages showed, one task after the other."""
    present = [part.shown.present for part in pages]
    labels = [part.shown.labels[head][mask] for part, mask in zip(pages, present, strict=True)]
    told = [part.probabilities[head][mask] for part, mask in zip(pages, present, strict=True)]
    return np.concatenate(labels), np.concatenate(told)


def told_by_position(features: FeatureStore, pages: Sequence[Pages]) -> dict[str, Doubles]:
    """Head -> [n] the rate of each example's task and position before the test days, as `shown_examples` orders them;
    empty without pages."""

    def told(part: Pages, head: str) -> Doubles:
        rates = position_rates(features, part.requests.task, head)
        return rates[np.minimum(part.shown.position[part.shown.present], len(rates) - 1)]

    heads = pages[0].probabilities if pages else ()
    return {head: np.concatenate([told(part, head) for part in pages]) for head in heads}


def judge_heads(pages: Sequence[Pages], by_place: Mapping[str, Doubles]) -> Heads | None:
    """The heads on what the test pages showed; None where the requests come from no logged pages.

    Args:
        by_place: of `told_by_position`.
    """
    if not pages:
        return None
    heads: list[HeadScores] = []
    by_position = {}
    for head in pages[0].probabilities:
        labels, probabilities = shown_examples(pages, head)
        heads.append(score_head(head, labels, probabilities))
        by_position[head] = log_loss(labels, by_place[head])
    note = (
        "Probabilities at position 1, times the learned P(examined) of the place. Rates by task and position are those "
        "of the days before: what is known of a place without knowing what stands there."
    )
    return Heads("heads", "Heads on what the test pages showed", note, tuple(heads), by_position)


def calibration_table(shop: Shop, pages: Sequence[Pages], truth: AlignedTruth | None) -> PlainTable:
    """Clicks predicted over clicks observed, and where there is a truth over those that it expects.

    Rows: by prediction, by task, by who asked and by what was shown.
    """
    present = [part.shown.present for part in pages]
    clicked, predicted = shown_examples(pages, "click")
    rows = np.concatenate([part.shown.rows[mask] for part, mask in zip(pages, present, strict=True)])
    parts = {"all": np.ones(len(clicked), bool)} | parts_by_prediction(predicted)
    for number, part in enumerate(pages):
        chosen = {part.requests.task: np.ones(len(part.requests), bool)} | {
            f"{part.requests.task}, {name}": mask
            for name, mask in request_slices(part.requests).items()
            if not mask.all()  # it would be the whole task a second time
        }
        parts |= {name: _of_requests(present, number, mask) for name, mask in chosen.items()}
    slices = product_slices(shop.features, shop.data.products)
    parts |= {name: products[rows] for name, products in slices.items() if not products[rows].all()}
    columns = _CALIBRATION
    count = sum(len(part.requests) for part in pages)
    note = (
        f"Clicks on what {count:,} test pages showed, each page among the candidates of its request. The interval is "
        "what chance in the observed clicks allows, p how often it goes as far (exact binomial test of the part). "
        "Tenths of the expected clicks hold equally many of them, deciles equally many products."
    )
    cells = {row.part: _cells(row) for row in calibration_rows(clicked, predicted, parts)}
    if truth is not None:
        columns += _EXPECTED
        note += " The clicks that the truth expects of the same products have no chance in them."
        expected = np.concatenate([_expected(truth, part)[mask] for part, mask in zip(pages, present, strict=True)])
        sums = {name: (float(predicted[parts[name]].sum()), float(expected[parts[name]].sum())) for name in cells}
        cells = {name: (*row, *_beside_truth(*sums[name])) for name, row in cells.items()}
    return PlainTable("calibration", "Do probabilities come true?", note, columns, tuple(cells.values()))


def _expected(truth: AlignedTruth, pages: Pages) -> npt.NDArray[np.float64]:
    """[R, C] the clicks that the truth expects of each product shown where it stood."""
    return pages.appeal(truth, np.arange(len(pages.requests))) * pages.shown.examined(
        truth.examination.astype(np.float64)
    )


def _beside_truth(predicted: float, expected: float) -> tuple[float, float]:
    return round(expected, 1), predicted / expected if expected else float("inf")


def _of_requests(present: list[Mask], number: int, mask: Mask) -> Mask:
    parts = [np.zeros(int(part.sum()), bool) for part in present]
    parts[number] = np.broadcast_to(mask[:, None], present[number].shape)[present[number]]
    return np.concatenate(parts)


def _cells(row: CalibrationRow) -> tuple[str | int | float, ...]:
    return (
        row.part, row.count, row.observed, round(row.predicted, 1), row.ratio, row.low, row.high, row.p_value,
        round(row.log_loss, 4), round(row.base_rate_log_loss, 4),
    )  # fmt: skip
