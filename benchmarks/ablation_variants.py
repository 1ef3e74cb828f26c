"""The trainings that `benchmarks.ablations` compares: each the run's own settings with one thing changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.config import PipelineConfig

UNCHANGED = "unchanged"
MODALITIES = ("text", "picture", "behaviour", "history")
PRODUCT_MASKS = {"text": ("text",), "picture": ("image",), "behaviour": ("behaviour", "identity")}
QUERY_MASKS = {"history": ("history",)}
_SMALL_BATCHES = {
    "search_examples": 48,
    "next_items": 32,
    "catalogue_queries": 48,
    "mixed_negatives": 32,
    "steps_per_epoch": 40,
}


@dataclass(frozen=True)
class Variant:
    """One training.

    Args:
        name: what the tables and `--only` call it.
        towers, training, images: the settings that differ, of `towers`, `towers.training` and `images`.
        against: the variant that it is compared with.
    """

    name: str
    towers: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    against: str = UNCHANGED

    def configure(self, config: PipelineConfig, length: Mapping[str, int]) -> PipelineConfig:
        """The run's configuration with `length` (epochs, steps_per_epoch) and, over that, the changes."""
        towers = config.towers.model_dump() | dict(self.towers)
        towers["training"] |= {**length, **self.training}
        values = {"towers": towers, "images": config.images.model_dump() | dict(self.images)}
        return type(config).model_validate(config.model_dump() | values)


VARIANTS = (
    Variant(UNCHANGED),
    Variant("without text", {"left_out": ("text",)}),
    Variant("without picture", {"left_out": ("image",)}, {"picture_query_share": 0.0}),
    Variant("without behaviour", {"left_out": ("behaviour", "identity")}),
    Variant("without history", {"left_out": ("history",)}),
    Variant("another seed", {"seed": 1}),
    Variant("hard negatives", training={"hard_negatives": 256}),
    Variant("attention fusion", {"fusion": "attention"}),
    Variant("concat fusion", {"fusion": "concat"}),
    Variant("weighted-sum fusion", {"fusion": "weighted_sum"}),
    Variant("alignment", training={"alignment": 0.1}),
    Variant("random pictures", images={"pretrain_epochs": 0.0}),
    Variant("small batches", training=_SMALL_BATCHES),
    Variant("small batches, finetuned", training={**_SMALL_BATCHES, "finetune_images": True}, against="small batches"),
)
