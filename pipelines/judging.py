"""Everything that the report compares: rankings of the release and of the baselines, with modalities masked in turn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.schema import TEXT_FIELDS, ShopData, product_texts
from evaluation.arrays import Mask, Rows
from evaluation.baselines import ItemToItem, Popularity, Ranker
from evaluation.bm25 import BM25
from evaluation.boards import Role
from evaluation.requests import Requests, Task, candidates_only
from pipelines.s07_candidates import nearest
from pipelines.scoring import Arrays, ReleasedModels

OURS = "Tandem"
RETRIEVAL = "Tandem, retrieval order"
ROLES: dict[str, Role] = {OURS: "ours", RETRIEVAL: "ours"}
MASKS = ("text", "picture", "behaviour", "history")
DEPTH = 200


@dataclass(frozen=True)
class Shop:
    """What a judgment rests on.

    Args:
        data, features: the shop's tables and features.
        eligible: [N], products in the release's index.
        snapshot: seconds since the epoch at which the release's counters stop.
    """

    data: ShopData
    features: FeatureStore
    eligible: Mask
    snapshot: int

    @property
    def product_ids(self) -> list[str]:
        """[N] product ids in row order."""
        ids: list[str] = self.data.products.column("product_id").to_pylist()
        return ids


def baseline_rankings(shop: Shop, requests: Requests) -> dict[str, Rows]:
    """Popularity and item-to-item, and BM25 where there is a query, [R, DEPTH] each; fitted before the snapshot."""
    popularity = Popularity.fit(shop.features, shop.snapshot, shop.eligible)
    rankers: list[Ranker] = [popularity, ItemToItem.fit(shop.features, shop.snapshot, shop.eligible)]
    rankings = {ranker.name: ranker.rank(requests, DEPTH) for ranker in rankers}
    if requests.task == "search":
        bm25 = BM25(product_texts(shop.data.products), shop.eligible)
        rankings[bm25.name] = bm25.rank(requests, DEPTH)
    return {name: candidates_only(rows, requests, shop.eligible) for name, rows in rankings.items()}


def baseline_roles(task: Task) -> dict[str, Role]:
    """The baselines of a task."""
    names = ["popularity", ItemToItem.name, *([BM25.name] if task == "search" else [])]
    return dict.fromkeys(names, "baseline")


def our_rankings(models: ReleasedModels, shop: Shop, requests: Requests) -> dict[str, Rows]:
    """The release's answers: retrieval's order, and the reranker's order of the same candidates."""
    inputs = models.inputs(requests)
    retrieved = models.retrieve(inputs)
    reranked = models.rerank(inputs, retrieved)
    return {
        OURS: candidates_only(reranked["rows"], requests, shop.eligible),
        RETRIEVAL: candidates_only(retrieved["rows"], requests, shop.eligible),
    }


def masked_rankings(
    models: ReleasedModels, shop: Shop, requests: Requests, vectors: dict[str, npt.NDArray[np.float32]]
) -> dict[str, Rows]:
    """Retrieval by exact search with each modality masked in turn.

    Args:
        vectors: "nothing" and the masked product modalities -> [N, D], of `product_vectors`.

    Returns:
        "nothing masked" and "without <modality>" -> [R, DEPTH] rows.
    """
    rows = np.flatnonzero(shop.eligible).astype(np.int32)
    queries = models.embed_queries(models.inputs(requests))
    strangers = models.embed_queries(models.inputs(requests, with_history=False))
    pairs = {"nothing masked": (queries, vectors["nothing"])}
    pairs |= {f"without {name}": (queries, vectors[name]) for name in MASKS if name in vectors}
    pairs["without history"] = (strangers, vectors["nothing"])
    rankings = {}
    for name, (asked, products) in pairs.items():
        found, _ = nearest(asked, products[rows], DEPTH, f"{requests.task}, {name}")
        found = np.where(found < 0, np.int32(-1), rows[found])
        rankings[name] = candidates_only(found, requests, shop.eligible)
    return rankings


def product_vectors(models: ReleasedModels, fields: Arrays) -> dict[str, npt.NDArray[np.float32]]:
    """Product vectors by the released product tower: as they are, and with text, picture or behaviour masked.

    Args:
        fields: raw fields of every product, inputs of `product_tower`'s signature `with_image_embedding`.
    """
    changes: dict[str, Arrays] = {
        "nothing": {},
        "text": {name: np.full_like(fields[name], "") for name in TEXT_FIELDS},
        "picture": {"image_present": np.zeros_like(fields["image_present"])},
        "behaviour": {
            "counters": np.zeros_like(fields["counters"]),
            "rating_count": np.zeros_like(fields["rating_count"]),
            **{name: np.full_like(fields[name], np.nan) for name in ("rating_average", "price")},
        },
    }
    return {
        name: models.embed_products(fields | change, f"product vectors, {name} masked")
        for name, change in changes.items()
    }
