"""Every variant beside the one that it is compared with: differences with intervals, overall and on slices."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.ablation_masks import MODALITIES, UNCHANGED
from benchmarks.ablation_scores import Judge, Kept, Part, Scores, key
from benchmarks.ablation_variants import VARIANTS, Variant
from catalog.errors import ArtifactError
from evaluation.arrays import Mask
from evaluation.scores import mean_of
from evaluation.significance import paired_intervals

_TEST = (
    ("test search", "ndcg@10"),
    ("test search", "recall@100"),
    ("test search", "clicks recall@100"),
    ("test recommendation", "recall@100"),
    ("test recommendation", "clicks recall@100"),
)
_VALIDATION = (
    ("validation search", "clicks recall@10"),
    ("validation search", "clicks recall@100"),
    ("validation recommendation", "clicks recall@10"),
    ("validation recommendation", "clicks recall@100"),
)

Compared = dict[str, dict[str, dict[str, float]]]
"""part -> metric -> mean, difference, low, high."""


def answer(finished: Mapping[str, Kept], judge: Judge, trained: Sequence[Variant] = VARIANTS) -> dict[str, Any]:
    """The comparisons of all finished variants, which `trained` describes, as JSON.

    Raises:
        ArtifactError: if the unchanged training is not among them.
    """
    if UNCHANGED not in finished:
        raise ArtifactError(
            f"variant {UNCHANGED!r} is not trained yet, and the others mean nothing without it; train it"
        )
    against = {variant.name: variant.against for variant in trained}
    variants = {}
    for name, kept in finished.items():
        base = finished.get(against[name])
        if base is not None:
            compared = _compare(kept.scores, name, base.scores, against[name], judge)
            variants[name] = {**kept.info, "against": against[name], **compared}
    unchanged = finished[UNCHANGED].scores
    masked = {name: _compare(unchanged, f"{name} masked", unchanged, UNCHANGED, judge) for name in MODALITIES}
    return {"variants": variants, "masked": masked, "weights": finished[UNCHANGED].info["weights"]}


def _compare(scores: Scores, system: str, base: Scores, against: str, judge: Judge) -> dict[str, Compared | Any]:
    """One system against another on every part, whole and by slice."""
    whole: Compared = {}
    sliced: dict[str, Compared] = {}
    for part in judge.parts:
        mine = {name: values for name, values in scores.items() if name.startswith(f"{system}|{part.name}|")}
        metrics = [name.split("|")[2] for name, values in mine.items() if np.isfinite(values).any()]
        if not metrics:
            continue
        names = [(metric, key(system, part.name, metric), key(against, part.name, metric)) for metric in metrics]
        whole[part.name] = {metric: _pair(scores[ours], base[theirs], part) for metric, ours, theirs in names}
        if part.slice == "test":
            for name, mask in judge.request_slices(part).items():
                sliced.setdefault(name, {})[part.name] = {
                    metric: _pair(scores[ours], base[theirs], part, mask)
                    for metric, ours, theirs in names
                    if metric in ("ndcg@10", "recall@100")
                }
    return {"parts": whole, "slices": sliced}


def _pair(ours: Any, theirs: Any, part: Part, mask: Mask | None = None) -> dict[str, float]:
    chosen = np.ones(len(ours), np.bool_) if mask is None else mask
    clusters = [each[chosen] for each in part.requests.clusters]
    difference, _ = paired_intervals(ours[chosen], theirs[chosen], clusters)
    return {
        "mean": mean_of(ours[chosen]),
        "difference": difference.estimate,
        "low": difference.low,
        "high": difference.high,
        "requests": int(np.isfinite(ours[chosen]).sum()),
    }


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Modalities masked beside left out; all variants on the test days, on the validation days, and on slices."""
    variants, masked = result["variants"], result["masked"]
    modalities = {
        f"{name}, {how}": found
        for name in MODALITIES
        for how, found in (("masked", masked[name]), ("left out", variants.get(f"without {name}")))
        if found is not None
    }
    means = _table("The unchanged towers", {UNCHANGED: variants[UNCHANGED]}, _TEST, means=True)
    wholly = _table("A modality masked, and left out of the training: difference to unchanged", modalities, _TEST)
    tested = _table("Test days: difference to what each is compared with", variants, _TEST)
    validated = _table("Validation days, clicks alone: what is decided by", variants, _VALIDATION)
    return [means, wholly, _weights(result["weights"]), tested, validated, *_slice_tables(modalities)]


def _table(title: str, rows: Mapping[str, Any], columns: tuple[tuple[str, str], ...], means: bool = False) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("", *(f"{part}: {metric}" for part, metric in columns)):
        table.add_column(name, justify="right" if name else "left")
    for name, found in rows.items():
        if name != UNCHANGED or means:
            cells = [found["parts"][part][metric] for part, metric in columns]
            table.add_row(name, *(f"{cell['mean']:.3f}" if means else _cell(cell) for cell in cells))
    return table


def _weights(found: Mapping[str, Mapping[str, float]]) -> Table:
    """Mean weights, in products and in queries."""
    names = list(dict.fromkeys(name for weights in found.values() for name in weights))
    table = Table(title="Mean weight of each modality, from the unchanged SavedModels", title_justify="left")
    for name in ("", *names):
        table.add_column(name, justify="right" if name else "left")
    for what, weights in found.items():
        table.add_row(what, *(f"{weights[name]:.3f}" if name in weights else "" for name in names))
    return table


def _slice_tables(rows: Mapping[str, Any]) -> list[Table]:
    """Search by slice of the requests, NDCG@10 and recall@100, and recall@100 by slice of the products."""
    first = next(iter(rows.values()))
    slices = [name for name, parts in first["slices"].items() if "test search" in parts]
    of = [name for name in first["parts"]["test search"] if name.startswith("recall@100 of ")]
    found = {
        "Search NDCG@10 by slice of the requests": {
            part: [system["slices"][part]["test search"]["ndcg@10"] for system in rows.values()] for part in slices
        },
        "Search recall@100 by slice of the requests": {
            part: [system["slices"][part]["test search"]["recall@100"] for system in rows.values()] for part in slices
        },
        "Search recall@100 of the wanted products in a slice": {
            metric.removeprefix("recall@100 of "): [system["parts"]["test search"][metric] for system in rows.values()]
            for metric in of
        },
    }
    tables = []
    for title, parts in found.items():
        tables.append(Table(title=f"{title}: difference to unchanged", title_justify="left"))
        for name in ("", "requests", *rows):
            tables[-1].add_column(name, justify="right" if name else "left")
        for part, cells in parts.items():
            tables[-1].add_row(part, str(cells[0]["requests"]), *map(_cell, cells))
    return tables


def _cell(found: Mapping[str, float]) -> str:
    return f"{found['difference']:+.3f} [{found['low']:.3f}, {found['high']:.3f}]"
