"""Settings of the image encoder."""

from typing import Annotated, Literal

from pydantic import Field

from catalog.config import Config, Operational


class ImageConfig(Config):
    """The picture network: which one, where its weights come from, how it is trained on the catalogue's labels."""

    backbone: Literal["EfficientNetB0", "EfficientNetV2B0"] = Field(
        "EfficientNetV2B0", description="the network; V2B0 trains about a third faster than B0 on a CPU"
    )
    size: int = Field(64, ge=32, le=512, description="side of the pictures in pixels; equals ingest.image_size")
    weights: str = Field(
        "none",
        min_length=1,
        description="none: trained on the catalogue's own labels first; imagenet: downloaded; or a file: a .keras file "
        "this stage wrote, or an .h5 file of the network without its top",
    )
    embedding_dim: int = Field(256, ge=8, le=1280, description="size of a picture's embedding")
    pretrain_epochs: float = Field(
        4.0, ge=0, description="passes over the pictures when training on labels; 0: the network stays as it is"
    )
    max_pretrain_images: int = Field(150_000, ge=0, description="limit of pictures trained on, over all passes")
    pretrain_batch: int = Field(64, ge=2, description="pictures in a training step; half of it in small shops")
    pretrain_small_share: float = Field(
        0.5, ge=0, le=1, description="share of the steps taken at half the size first, which is faster"
    )
    learning_rate: float = Field(4e-3, gt=0, description="peak of the one-cycle cosine schedule, AdamW")
    weight_decay: float = Field(0.02, ge=0, description="decoupled weight decay")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="share of the target spread over all classes")
    looks_weight: float = Field(
        0.15, ge=0, description="weight of predicting colour layout and texture, which keeps what no label names"
    )
    augment: bool = Field(True, description="flip, shift, zoom and re-light the pictures trained on, a little")
    holdout: float = Field(0.05, ge=0, lt=0.5, description="share of the pictures whose labels measure the training")
    min_label_count: int = Field(10, ge=1, description="pictures a label must have to be learned")
    retrain_share: float = Field(
        0.5, ge=0, le=1, description="weights are kept until more than this share of the pictures is new to them"
    )
    checkpoint_seconds: Annotated[float, Operational()] = Field(
        60.0, gt=0, description="time between checkpoints of the training on labels"
    )
    embed_batch: int = Field(256, ge=1, description="pictures embedded in one call")
    embed_chunk: int = Field(4096, ge=1, description="pictures a file of the embedding cache")
    seed: int = Field(0, description="seed of initial weights, order and augmentation")
