"""The trainings that `benchmarks.ablations` compares: each the run's own settings with one thing changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.ablation_masks import UNCHANGED
from benchmarks.ablation_texts import changed_texts
from catalog.config import parse_config
from catalog.errors import ConfigError
from catalog.schema import ShopData
from pipelines.config import PipelineConfig

_SMALL_BATCHES = {
    "search_examples": 48,
    "next_items": 32,
    "catalogue_queries": 48,
    "mixed_negatives": 32,
    "steps_per_epoch": 40,
}
_LONG_TEXTS = {"text": {"product_tokens": 160}}  # reviews are the last of a text: by default few are read


@dataclass(frozen=True)
class Variant:
    """One training.

    Args:
        name: what the tables and `--only` call it.
        towers, training, images: the settings that differ, of `towers`, `towers.training` and `images`; what sections
            within them do not name stays as it is.
        blank: text columns of the products that are read as empty, in training and after it.
        review_topics: whether reviews are read as words for their sentiment and topics, before the description.
        against: the variant that it is compared with.
    """

    name: str
    towers: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    blank: tuple[str, ...] = ()
    review_topics: bool = False
    against: str = UNCHANGED

    def configure(self, config: PipelineConfig, length: Mapping[str, int]) -> PipelineConfig:
        """The run's configuration with `length` (epochs, steps_per_epoch) and, over that, the changes.

        Raises:
            ConfigError: if these settings do not go together.
        """
        changes = {"towers": {**self.towers, "training": {**length, **self.training}}, "images": self.images}
        return parse_config(type(config), _merged(config.model_dump(), changes), f"variant {self.name!r}")

    @property
    def changes_texts(self) -> bool:
        """Whether it reads other texts than the shop's."""
        return bool(self.blank) or self.review_topics

    def read(self, shop: ShopData) -> ShopData:
        """The shop as this variant sees it."""
        return replace(shop, products=changed_texts(shop.products, self.blank, self.review_topics))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes`, section by section."""
    changed = {
        name: _merged(values[name], change) if isinstance(change, Mapping) else change
        for name, change in changes.items()
    }
    return {**values, **changed}


VARIANTS = (
    Variant(UNCHANGED),
    Variant("without text", {"left_out": ("text",)}),
    Variant("without picture", {"left_out": ("image",)}, {"picture_query_share": 0.0}),
    Variant("without behaviour", {"left_out": ("behaviour", "identity")}),
    Variant("without history", {"left_out": ("history",)}),
    Variant("without reviews", blank=("review_text",)),
    Variant("long texts", _LONG_TEXTS),
    Variant("long texts, without reviews", _LONG_TEXTS, blank=("review_text",), against="long texts"),
    Variant("reviews as topics", blank=("review_text",), review_topics=True),
    Variant("no time", {"history": {"gaps": False}}),
    Variant("no kinds", {"history": {"kinds": False}}),
    Variant("post-norm", {"history": {"norm": "post"}}),
    Variant("another seed", {"seed": 1}),
    Variant("last weights", training={"average": 0.0}),
    Variant("no logQ", training={"logq": False}),
    Variant("fixed temperature", training={"learn_temperature": False}),
    Variant("temperature .1", training={"temperature": 0.1, "learn_temperature": False}),
    Variant("no mixed negatives", training={"mixed_negatives": 0}),
    Variant("hard negatives", training={"hard_negatives": 256}),
    Variant("attention fusion", {"fusion": "attention"}),
    Variant("concat fusion", {"fusion": "concat"}),
    Variant("weighted-sum fusion", {"fusion": "weighted_sum"}),
    Variant("alignment", training={"alignment": 0.1}),
    Variant("no pseudo-queries", training={"catalogue_queries": 0}),
    Variant("catalogue first", training={"catalogue_epochs": 1}),
    Variant("random pictures", images={"pretrain_epochs": 0.0}),
    Variant("labels alone", images={"looks_weight": 0.0}),
    Variant("pictures not augmented", images={"augment": False}),
    Variant("small batches", training=_SMALL_BATCHES),
    Variant("small batches, finetuned", training={**_SMALL_BATCHES, "finetune_images": True}, against="small batches"),
)


def preset_variants(presets: Sequence[str]) -> tuple[Variant, ...]:
    """Two for each pretrained text encoder: left as it is, and with trained updates of rank 8.

    Args:
        presets: as `towers.text.preset` takes them; the last part of a path names the variants.

    Raises:
        ConfigError: if two would have one name.
    """
    names = [Path(preset).name for preset in presets]
    if len(set(names)) < len(names):
        raise ConfigError(f"--presets: variants are named by the last parts, and of {names} two are alike; rename one")
    return tuple(
        Variant(f"{name}, {how}", {"text": {"preset": preset, "lora_rank": rank}})
        for name, preset in zip(names, presets, strict=True)
        for how, rank in (("frozen", 0), ("rank 8", 8))
    )
