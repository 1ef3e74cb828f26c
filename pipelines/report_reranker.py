"""What the test pages showed and what the reranker said of it; whether its probabilities come true."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.aligned_truth import AlignedTruth
from evaluation.arrays import Mask, Rows
from evaluation.calibration import CalibrationRow, calibration_rows, parts_by_prediction
from evaluation.report import PlainTable
from evaluation.requests import Requests
from evaluation.shown import ShownLists, among_candidates, shown_lists
from evaluation.slices import product_slices, request_slices
from pipelines.judging import Shop
from pipelines.scoring import ReleasedModels
from pipelines.workspace import Workspace

Floats = npt.NDArray[np.float32]


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
    return [calibration_table(shop, pages), importance_table(reranker, shop, pages, truth, examination, seed)]


def read_pages(
    models: ReleasedModels, shop: Shop, requests: Requests, vectors: Floats, examination: Floats, length: int
) -> Pages | None:
    """The pages of those requests that come from one, among the candidates of each; None where none does.

    Args:
        vectors: [N, D] product vectors, for the retrieval scores of the shown products.
        examination: [P] learned P(examined) by position.
        length: C of the release; longer pages are cut.
    """
    asked = requests.select(requests.request >= 0)
    if not len(asked):
        return None
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


def calibration_table(shop: Shop, pages: Sequence[Pages]) -> PlainTable:
    """Clicks predicted over clicks observed: by prediction, by task, by who asked and by what was shown."""
    present = [part.shown.present for part in pages]
    predicted = np.concatenate([part.probabilities["click"][mask] for part, mask in zip(pages, present, strict=True)])
    clicked = np.concatenate([part.shown.labels["click"][mask] for part, mask in zip(pages, present, strict=True)])
    rows = np.concatenate([part.shown.rows[mask] for part, mask in zip(pages, present, strict=True)])
    parts = {"all": np.ones(len(clicked), bool)} | parts_by_prediction(predicted)
    for number, part in enumerate(pages):
        chosen = {part.requests.task: np.ones(len(part.requests), bool)} | {
            f"{part.requests.task}, {name}": mask for name, mask in request_slices(part.requests).items()
        }
        parts |= {name: _of_requests(present, number, mask) for name, mask in chosen.items()}
    slices = product_slices(shop.features, shop.data.products)
    parts |= {name: products[rows] for name, products in slices.items()}
    columns = (
        "part",
        "shown",
        "clicks",
        "predicted",
        "predicted / observed",
        "95 % from",
        "to",
        "log-loss",
        "base rate's",
    )
    note = (
        "Clicks on what the test pages showed, each page among the candidates of its request. The interval is what "
        "chance in the observed clicks allows; tenths of the expected clicks hold equally many of them, deciles "
        "equally many products."
    )
    found = calibration_rows(clicked, predicted, parts)
    return PlainTable("calibration", "Do probabilities come true?", note, columns, tuple(map(_cells, found)))


def _of_requests(present: list[Mask], number: int, mask: Mask) -> Mask:
    parts = [np.zeros(int(part.sum()), bool) for part in present]
    parts[number] = np.broadcast_to(mask[:, None], present[number].shape)[present[number]]
    return np.concatenate(parts)


def _cells(row: CalibrationRow) -> tuple[str | int | float, ...]:
    return (
        row.part, row.count, row.observed, round(row.predicted, 1), round(row.ratio, 3), round(row.low, 3),
        round(row.high, 3), round(row.log_loss, 4), round(row.base_rate_log_loss, 4),
    )  # fmt: skip
