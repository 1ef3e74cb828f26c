"""Rankings of the release, as it is and with modalities masked in turn, and the shop that they are judged on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.schema import TEXT_FIELDS, ShopData
from evaluation.arrays import Mask, Rows
from evaluation.boards import Role
from evaluation.requests import Requests, candidates_only
from pipelines.s07_candidates import nearest
from pipelines.scoring import Arrays, ReleasedModels

OURS = "Tandem"
RETRIEVAL = "Tandem, retrieval order"
ROLES: dict[str, Role] = {OURS: "ours", RETRIEVAL: "ours"}
MASKS = ("text", "picture", "behaviour", "history")
_LEAST_DEPTH = 100  # What recall@100 is measured on.


@dataclass(frozen=True)
class Shop:
    """What a judgment rests on.

    Args:
        data, features: the shop's tables and features.
        eligible: [N], products in the release's index.
        snapshot: seconds since the epoch at which the release's counters stop.
        candidates: products that the release's retrieval returns.
    """

    data: ShopData
    features: FeatureStore
    eligible: Mask
    snapshot: int
    candidates: int = 200

    @property
    def depth(self) -> int:
        """How many products the baselines answer with: as many as the release has candidates, at least 100."""
        return max(self.candidates, _LEAST_DEPTH)

    @property
    def product_ids(self) -> list[str]:
        """[N] product ids in row order."""
        ids: list[str] = self.data.products.column("product_id").to_pylist()
        return ids


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
        "nothing masked" and "without <modality>" -> [R, depth] rows; histories are masked where anybody has one.
    """
    rows = np.flatnonzero(shop.eligible).astype(np.int32)
    queries = models.embed_queries(models.inputs(requests))
    pairs = {"nothing masked": (queries, vectors["nothing"])}
    pairs |= {f"without {name}": (queries, vectors[name]) for name in MASKS if name in vectors}
    if requests.history_lengths.any():
        strangers = models.embed_queries(models.inputs(requests, with_history=False))
        pairs["without history"] = (strangers, vectors["nothing"])
    rankings = {}
    for name, (asked, products) in pairs.items():
        found, _ = nearest(asked, products[rows], shop.depth, f"{requests.task}, {name}")
        found = np.where(found < 0, np.int32(-1), rows[found])
        rankings[name] = candidates_only(found, requests, shop.eligible)
    return rankings


def product_vectors(models: ReleasedModels, fields: Arrays, masked: bool) -> dict[str, npt.NDArray[np.float32]]:
    """Product vectors by the released product tower: as they are, and with text, picture or behaviour masked.

    Args:
        fields: raw fields of every product, inputs of `product_tower`'s signature `with_image_embedding`.
        masked: whether to mask anything; pictures are masked where a product has one.
    """
    changes: dict[str, Arrays] = {"nothing": {}} | (_masks(fields) if masked else {})
    return {
        name: models.embed_products(fields | change, f"product vectors, {name} masked")
        for name, change in changes.items()
    }


def _masks(fields: Arrays) -> dict[str, Arrays]:
    """What each masked modality changes in the fields."""
    masks: dict[str, Arrays] = {
        "text": {name: np.full_like(fields[name], "") for name in TEXT_FIELDS},
        "picture": {"image_present": np.zeros_like(fields["image_present"])},
        "behaviour": {
            "counters": np.zeros_like(fields["counters"]),
            "rating_count": np.zeros_like(fields["rating_count"]),
            **{name: np.full_like(fields[name], np.nan) for name in ("rating_average", "price")},
        },
    }
    if not fields["image_present"].any():
        del masks["picture"]
    return masks
