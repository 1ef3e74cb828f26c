"""Settings of the towers and of their training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from catalog.config import Config, Operational
from catalog.files import fingerprint
from catalog.thin_behaviour import ThinBehaviourConfig

FusionKind = Literal["gated", "attention", "concat", "weighted_sum"]
Norm = Literal["pre", "post"]
Modality = Literal["text", "image", "behaviour", "identity", "history", "profile"]


class TextConfig(Config):
    """The text encoder that queries and products share, and its tokenizer."""

    vocab_size: int = Field(8000, ge=300, le=250_000, description="SentencePiece pieces; fewer if the corpus is small")
    layers: int = Field(1, ge=0, le=12, description="transformer blocks; 0 leaves attention pooling alone")
    heads: int = Field(2, ge=1, description="attention heads; divides the towers' dim")
    product_tokens: int = Field(40, ge=4, le=1024, description="tokens read of a product; shorter shops use fewer")
    query_tokens: int = Field(16, ge=2, le=256, description="tokens read of a query")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the blocks")
    preset: str = Field(
        "",
        description="a pretrained XLM-RoBERTa of keras-hub in place of this encoder and its tokenizer: name or folder",
    )
    lora_rank: int = Field(8, ge=0, description="rank of the preset's trained updates; 0 leaves it as it is")
    noisy_share: float = Field(
        0.25, ge=0, le=1, description="share of the training queries that are given one or two misspellings"
    )

    def preset_fingerprint(self) -> str:
        """Of the preset's content where it is a folder, else ""."""
        folder = Path(self.preset)
        return fingerprint(folder) if self.preset and folder.is_dir() else ""


class HistoryConfig(Config):
    """The encoder of a shopper's last events."""

    length: int = Field(50, ge=1, le=1000, description="events a history holds, H; the signatures have this shape")
    search_length: int = Field(
        20, ge=1, le=1000, description="events before a search that are read in training; serving reads all"
    )
    blocks: int = Field(2, ge=1, le=12, description="causal self-attention blocks")
    heads: int = Field(2, ge=1, description="attention heads; divides the towers' dim")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout in the blocks and on the items")
    norm: Norm = Field("pre", description="of a block's parts: pre, what they read; post, the sum with what they make")
    gaps: bool = Field(True, description="read the time between events, and from the last one to the question")
    kinds: bool = Field(True, description="read what each event was: a view, a click, a purchase")


class TrainingConfig(Config):
    """Batches, loss and optimizer."""

    epochs: int = Field(10, ge=1, description="epochs, at most: each a pass over the larger of the example kinds")
    steps_per_epoch: int = Field(
        0, ge=0, description="steps an epoch; 0: as many as one pass takes, or 40 if it takes less"
    )
    search_examples: int = Field(256, ge=0, description="search examples a batch")
    next_items: int = Field(192, ge=0, description="next-item targets a batch, from all positions of the sequences")
    sequences: int = Field(
        0, ge=0, description="user sequences a batch, of history.length events; 0: as many as next_items needs"
    )
    catalogue_queries: int = Field(512, ge=0, description="pseudo-queries made from products' own texts, a batch")
    catalogue_epochs: int = Field(
        0, ge=0, description="first epochs that learn from the pseudo-queries alone, without the log"
    )
    mixed_negatives: int = Field(128, ge=0, description="uniformly drawn products a batch, further negatives")
    hard_negatives: int = Field(0, ge=0, description="negatives a batch from what the last epoch's index answered")
    picture_query_share: float = Field(
        0.25, ge=0, le=1, description="share of the pseudo-queries that are pictures, half of them with text"
    )
    picture_noise: float = Field(0.3, ge=0, description="noise on query pictures, in standard deviations")
    alignment: float = Field(
        0.0, ge=0, description="weight in the loss of drawing a product's text and picture vectors together"
    )
    logq: bool = Field(True, description="correct the in-batch softmax for how often a product is drawn")
    temperature: float = Field(
        0.05, ge=0.01, le=0.5, description="of the softmax over cosines; where it starts if learned"
    )
    learn_temperature: bool = Field(True, description="whether the temperature is trained; it stays from 0.01 to 0.5")
    weight_power: float = Field(0.5, ge=0, le=1, description="examples count interaction_weight to this power")
    modality_dropout: float = Field(0.15, ge=0, lt=1, description="share of the present modalities hidden in training")
    id_dropout: float = Field(0.3, ge=0, le=1, description="share of product ids hidden in training")
    learning_rate: float = Field(2e-3, gt=0, description="of Adam after the warm-up; it rises to five times itself")
    average: float = Field(
        0.98, ge=0, lt=1, description="decay of the averaged weights, which are scored and kept; 0: the last weights"
    )
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up; at most a tenth of the training")
    clip_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this global norm")
    patience: int = Field(2, ge=1, description="epochs without a better validation recall before training stops")
    validation_examples: int = Field(3000, ge=1, description="searches, and as many recommendations, that validate")
    finetune_images: bool = Field(
        False, description="train the picture network with the product tower: small batches, a GPU"
    )
    check_steps: int = Field(25, ge=1, description="steps between checks of the loss")


class SequenceConfig(Config):
    """Training of `SequenceTowers`, the towers over ids and attributes alone."""

    loss: Literal["full", "sampled", "in_batch"] = Field(
        "full",
        description="softmax over the whole catalogue, over products drawn from it, or over a batch's by RetrievalTask",
    )
    uniform_negatives: int = Field(
        1024, ge=0, description="uniformly drawn products a batch, with loss in_batch or, at least 1, sampled"
    )
    logq: bool = Field(True, description="correct loss in_batch for how often a product is drawn")
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing, with loss full")
    stddev: float = Field(0.02, ge=0, description="of the ids' and attributes' vectors before training")
    attribute_power: float = Field(
        0.5, ge=0, le=1, description="an item is its id plus the sum of its n attributes over n to this power"
    )
    longest: int = Field(
        200,
        ge=1,
        le=1000,
        description="a history holds as much as 99 of 100 sequences do, history.length at least and this at most",
    )
    targets: int = Field(1536, ge=1, description="next-item targets a batch, from all positions of whole sequences")
    epochs: int = Field(40, ge=1, description="passes over the sequences, at most")
    patience: int = Field(4, ge=1, description="epochs without a better validation NDCG@10 before training stops")
    learning_rate: float = Field(1.5e-3, gt=0, description="of Adam, constant")
    average: float = Field(
        0.998, ge=0, lt=1, description="decay of the averaged weights, which are scored and kept; 0: the last weights"
    )

    @model_validator(mode="after")
    def _draws_what_it_samples(self) -> "SequenceConfig":
        if self.loss == "sampled" and not self.uniform_negatives:
            raise ValueError("loss sampled needs uniform_negatives of at least 1; received 0")
        return self


class DeviceConfig(Config):
    """Numbers and devices."""

    precision: Literal["float32", "mixed_float16"] = Field("float32", description="mixed_float16 on a GPU")
    memory_growth: Annotated[bool, Operational()] = Field(
        True, description="take GPU memory as it is needed, not all at once"
    )
    strategy: Literal["none", "mirrored"] = Field("none", description="mirrored: one replica a device of this machine")


class TowersConfig(Config):
    """The query tower and the product tower."""

    dim: int = Field(64, ge=8, le=1024, description="size of the embeddings and of every modality's vector, D")
    text: TextConfig = TextConfig()
    history: HistoryConfig = HistoryConfig()
    behaviour: ThinBehaviourConfig = ThinBehaviourConfig()
    training: TrainingConfig = TrainingConfig()
    sequences: SequenceConfig = SequenceConfig()
    device: DeviceConfig = DeviceConfig()
    fusion: FusionKind = Field("gated", description="how modalities become one vector")
    left_out: tuple[Modality, ...] = Field(
        (), description="modalities that are never read; text: that of the products, for queries keep theirs"
    )
    id_buckets: int = Field(
        0, ge=0, description="rows of the table of hashed product ids; 0: the next power of two above the catalogue"
    )
    profile_columns: tuple[str, ...] = Field((), description="columns of the users table that the query tower reads")
    profile_buckets: int = Field(1024, ge=2, description="rows of the table of hashed profile values")
    seed: int = Field(0, description="seed of weights, batches and dropout")

    @model_validator(mode="after")
    def _check(self) -> "TowersConfig":
        for name, heads in (("text.heads", self.text.heads), ("history.heads", self.history.heads)):
            if self.dim % heads:
                raise ValueError(f"{name} = {heads} must divide dim = {self.dim}")
        training = self.training
        if not training.search_examples + training.next_items + training.catalogue_queries:
            raise ValueError("search_examples, next_items and catalogue_queries are all 0: nothing to train on")
        return self
