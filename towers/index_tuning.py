"""Choose the index: the least latency at a recall target, measured on the shop's own vectors and queries."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from rich.table import Table

from catalog.config import parse_config
from catalog.errors import ArtifactError, DataError
from catalog.files import read_json, write_json
from catalog.progress import console, track
from evaluation.provenance import describe_machine, package_versions
from towers.index import ExactIndex, Index, ScannIndex
from towers.index_config import IndexConfig, IndexParameters, scann_label

_REORDER = (1.5, 2.5, 5.0, 10.0)  # times k
_SEARCHED = (0.005, 0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.35, 0.6, 1.0)  # shares of the leaves
_LEAVES = (1.0, 2.0, 4.0)  # times the square root of the number of products; besides, one leaf: no tree
_BATCH = 256
_TIE = 1e-5


@dataclass(frozen=True)
class Measurement:
    """One way to search, measured.

    Attributes:
        index: "exact" (plain ops), "scann brute force" or "scann".
        leaves, leaves_to_search, reorder: ScaNN's parameters; 0 where there are none.
        recall: share of the exact best k that it finds.
        latency_ms: median of single queries in a compiled graph; None where the recall was too low to be timed.
        queries_per_second: in batches of 256.
        build_seconds: time to build it.
    """

    index: str
    leaves: int
    leaves_to_search: int
    reorder: int
    recall: float
    latency_ms: float | None
    queries_per_second: float
    build_seconds: float


@dataclass(frozen=True)
class TuneResult:
    """What tuning chose, and everything it measured.

    Attributes:
        chosen: parameters of the `ScannIndex`.
        recall_target, k: what was asked for.
        products, dim, queries: what it was measured on.
        measurements: in the order measured.
        machine, versions: where.
    """

    chosen: IndexParameters
    recall_target: float
    k: int
    products: int
    dim: int
    queries: int
    measurements: tuple[Measurement, ...]
    machine: dict[str, str]
    versions: dict[str, str]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, asdict(self) | {"chosen": self.chosen.model_dump()})

    @classmethod
    def load(cls, path: Path) -> "TuneResult":
        """Read what `save` wrote; ArtifactError if it is missing or of another form."""
        values = read_json(path)
        try:
            measurements = tuple(Measurement(**item) for item in values.pop("measurements"))
            chosen = parse_config(IndexParameters, values.pop("chosen"), str(path))
            return cls(chosen=chosen, measurements=measurements, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ArtifactError(f"{path}: not a tuned index ({error}); run `tandem tune-index` again") from error

    def table(self) -> Table:
        """The measurements for a terminal, the chosen one marked; ScaNN's only those that were timed."""
        table = Table(title=f"{self.products:,} products x {self.dim}, recall@{self.k} on {self.queries:,} queries")
        headings = ("index", "leaves", "visited", "reorder", "recall", "ms", "queries/s", "built s")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="left" if number == 0 else "right")
        for row in self.measurements:
            if row.latency_ms is None:
                continue
            depths = (str(n) if n else "" for n in (row.leaves, row.leaves_to_search, row.reorder))
            measured = (f"{row.recall:.4f}", f"{row.latency_ms:.3f}", f"{row.queries_per_second:,.0f}")
            style = "bold green" if _parameters(row) == self.chosen and row.index != "exact" else ""
            table.add_row(row.index, *depths, *measured, f"{row.build_seconds:.1f}", style=style)
        return table


def tune(embeddings: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], config: IndexConfig) -> TuneResult:
    """Measure exact search and, unless the shop is too small for it, ScaNN over leaves and depths, and choose.

    Recall counts a product as found if its score reaches that of the exact k-th best, so equal products do not matter.
    Only ways that reach the target are timed as single queries. If none of ScaNN's does, or brute force is as fast,
    brute force is chosen.

    Args:
        embeddings: [N, D] float32 vectors of the products.
        queries: [Q, D] float32, as the shop's queries are.
        config: target, k and limits.

    Raises:
        DataError: if there is no product or no query, or a vector is not finite.
    """
    if queries.ndim != 2 or not len(queries) or not np.isfinite(queries).all():
        raise DataError(
            f"tuning needs at least one finite query vector [Q, {embeddings.shape[-1]}]; received shape {queries.shape}"
            + ("" if np.isfinite(queries).all() else " with NaN or infinity in it")
        )
    queries = np.asarray(queries[: config.queries], np.float32)
    rows = np.arange(len(embeddings), dtype=np.int32)
    k = min(config.k, len(embeddings))
    exact, seconds = _timed(lambda: ExactIndex(embeddings, rows))
    least = _search_all(_compiled(exact, k), queries)[:, -1]  # the k-th best score of each query
    measurements = [_measure("exact", exact, queries, least, k, config, seconds)]
    brute, seconds = _timed(lambda: ScannIndex(embeddings, rows, None, k))
    measurements.append(_measure("scann brute force", brute, queries, least, k, config, seconds))
    del exact, brute
    if config.kind == "scann" or (config.kind == "auto" and len(embeddings) >= config.exact_below):
        for leaves in _leaf_counts(len(embeddings)):
            measurements += _measure_tree(embeddings, rows, leaves, queries, least, k, config)
    result = TuneResult(
        chosen=_choose(measurements, config),
        recall_target=config.recall_target,
        k=k,
        products=len(embeddings),
        dim=embeddings.shape[1],
        queries=len(queries),
        measurements=tuple(measurements),
        machine=describe_machine(),
        versions=package_versions(),
    )
    console.print(result.table())
    if config.kind == "scann" and result.chosen.kind == "exact":
        console.print(
            f"[yellow]nothing quantised reached recall {config.recall_target}: brute force is chosen[/yellow]"
        )
    return result


def _choose(measurements: list[Measurement], config: IndexConfig) -> IndexParameters:
    timed = [row for row in measurements if row.latency_ms is not None and row.index != "exact"]
    if config.kind == "scann":
        timed = [row for row in timed if row.index == "scann"]
    reached = [row for row in timed if row.recall >= config.recall_target]
    if not reached:
        return IndexParameters()
    return _parameters(min(reached, key=lambda row: row.latency_ms or np.inf))


def _parameters(row: Measurement) -> IndexParameters:
    if row.index != "scann":
        return IndexParameters()
    return IndexParameters(kind="scann", leaves=row.leaves, leaves_to_search=row.leaves_to_search, reorder=row.reorder)


def _measure(
    name: str,
    index: Index,
    queries: npt.NDArray[np.float32],
    least: npt.NDArray[np.float32],
    k: int,
    config: IndexConfig,
    build_seconds: float,
) -> Measurement:
    call = _compiled(index, k)
    recall, speed = _recall_and_speed(call, queries, least)
    latency = _latency(call, queries, config.latency_calls)
    return Measurement(name, 0, 0, 0, recall, latency, speed, round(build_seconds, 2))


def _measure_tree(
    embeddings: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
    leaves: int,
    queries: npt.NDArray[np.float32],
    least: npt.NDArray[np.float32],
    k: int,
    config: IndexConfig,
) -> list[Measurement]:
    """For each depth of reordering, the fewest leaves that reach the target, and the steps before."""
    tree = f"a tree of {leaves:,} leaves" if leaves > 1 else "quantised vectors without a tree"
    console.print(f"building {tree} over {len(embeddings):,} products")
    built, seconds = _timed(
        lambda: ScannIndex(embeddings, rows, IndexParameters(kind="scann", leaves=leaves, reorder=k), k)
    )
    number = tf.TensorSpec([], tf.int32)
    graph = tf.function(
        lambda vectors, searched, reorder: built.search_with(vectors, k, searched, reorder)[1],
        input_signature=[tf.TensorSpec([None, embeddings.shape[1]], tf.float32), number, number],
        autograph=False,
    )
    result: list[Measurement] = []
    depths = sorted({min(round(k * factor), len(embeddings)) for factor in _REORDER})
    for reorder in track(depths, scann_label(leaves)):
        for searched in sorted({max(1, round(leaves * share)) for share in _SEARCHED}):
            call = _bound(graph, searched, reorder)
            recall, speed = _recall_and_speed(call, queries, least)
            reached = recall >= config.recall_target
            latency = _latency(call, queries, config.latency_calls) if reached else None
            result.append(Measurement("scann", leaves, searched, reorder, recall, latency, speed, round(seconds, 2)))
            if reached:
                break
    return result


def _leaf_counts(products: int) -> list[int]:
    return sorted({1, *(max(1, min(products, round(factor * products**0.5))) for factor in _LEAVES)})


def _compiled(index: Index, k: int) -> Callable[[Any], Any]:
    """A compiled search that gives the scores."""
    return tf.function(lambda vectors: index.search(vectors, k)[1], autograph=False, reduce_retracing=True)


def _bound(graph: Any, searched: int, reorder: int) -> Callable[[Any], Any]:
    depths = tf.constant(searched), tf.constant(reorder)
    return lambda vectors: graph(vectors, *depths)


def _batches(queries: npt.NDArray[np.float32]) -> Iterator[Any]:
    for start in range(0, len(queries), _BATCH):
        yield tf.constant(queries[start : start + _BATCH])


def _search_all(call: Callable[[Any], Any], queries: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([call(batch).numpy() for batch in _batches(queries)])


def _recall_and_speed(
    call: Callable[[Any], Any], queries: npt.NDArray[np.float32], least: npt.NDArray[np.float32]
) -> tuple[float, float]:
    call(tf.constant(queries[:1]))  # traces, and makes ScaNN's searcher
    call(tf.constant(queries[:2]))
    started = time.perf_counter()
    scores = _search_all(call, queries)
    seconds = time.perf_counter() - started
    recall = float((scores >= least[:, None] - _TIE).mean())
    return round(recall, 5), round(len(queries) / seconds, 1)


def _latency(call: Callable[[Any], Any], queries: npt.NDArray[np.float32], calls: int) -> float:
    """Median milliseconds of single queries."""
    singles = [tf.constant(queries[number % len(queries)][None]) for number in range(calls)]
    for single in singles[:5]:
        call(single)
    times = []
    for single in singles:
        started = time.perf_counter()
        call(single)
        times.append(time.perf_counter() - started)
    return round(float(np.median(times)) * 1000, 4)


def _timed(build: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    built = build()
    return built, time.perf_counter() - started
