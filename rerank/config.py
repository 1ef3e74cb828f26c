"""Settings of the reranker."""

from typing import Annotated, Literal

from pydantic import Field

from catalog.config import Config, Operational
from catalog.thin_behaviour import ThinBehaviourConfig


class LexicalConfig(Config):
    """How query words are compared with product words."""

    query_words: int = Field(12, ge=1, le=64, description="Words of a query that are read; the rest is cut.")
    query_tokens: int = Field(16, ge=1, le=128, description="SentencePiece tokens of a query that are read.")
    title_words: int = Field(16, ge=1, description="Distinct words kept of a title.")
    attribute_words: int = Field(24, ge=1, description="Distinct words kept of brand, category and attribute values.")
    long_words: int = Field(24, ge=1, description="Distinct words kept of description and reviews.")
    unspaced_words: int = Field(
        800,
        ge=0,
        le=1000,  # RE2 matches so many by a table; for more its memory runs out, and it is twenty times slower
        description="Words of brands, categories and attribute values in scripts without spaces (Chinese, Japanese, "
        "Thai), the most frequent ones, that texts are cut into; the rest is cut into characters.",
    )
    product_tokens: int = Field(32, ge=1, description="Distinct SentencePiece tokens kept of title and attributes.")
    attribute_keys: int = Field(
        8, ge=0, le=24, description="Attributes (the most widely filled ones) that are compared value by value."
    )
    max_values: int = Field(2000, ge=2, description="An attribute with more distinct values than this is no such key.")
    named_values: int = Field(8, ge=1, le=32, description="Values (colour, type, brand ...) that one query can name.")
    association_words: int = Field(
        5000, ge=0, description="Query words, the most frequent ones, whose searches are counted by what was chosen."
    )
    association_values: int = Field(
        1000, ge=0, description="Values (types, colours, brands ...), the most chosen ones, that are counted apart."
    )
    named_products: int = Field(
        5,
        ge=1,
        description="A word is a name, such as the number of a model, that at most so many products hold of those that "
        "the reranker learns words from.",
    )
    misspelt_words: int = Field(
        3, ge=1, description="Query words unknown to the catalogue that are matched by spelling."
    )


class RelevanceConfig(Config):
    """How grades are learned from judgments, where the shop has any."""

    weight: float = Field(1.25, ge=0, description="What one expected grade adds to the score, which is a log.")
    min_judgments: int = Field(500, ge=1, description="Judgments below which none are learned from.")
    misspelt: int = Field(3, ge=0, description="Misspelt variants of a judged query that are learned from besides.")
    max_judgments: int = Field(50_000, ge=1, description="At most so many judgments, a seeded sample.")
    unjudged: int = Field(
        60_000, ge=0, description="Pairs of queries and retrieved products besides, that trees grade for the network."
    )
    units: int = Field(32, ge=1, description="Width of the hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on features and hidden layer.")
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's peak rate; it falls to 0 by a cosine.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")
    epochs: int = Field(20, ge=1, description="Passes over the pairs.")


class RerankConfig(Config):
    """Settings of features, model, loss and training."""

    lexical: LexicalConfig = LexicalConfig()
    relevance: RelevanceConfig = RelevanceConfig()
    history_length: int = Field(50, ge=1, description="H: events of the history that are read, as in the towers.")
    history_half_life: float = Field(8.0, gt=0, description="Events after which a history item's weight has halved.")
    profile_columns: tuple[str, ...] = Field((), description="Columns of the users table that become features.")
    profile_buckets: int = Field(256, ge=2, description="Hash buckets of a profile value.")
    profile_dim: int = Field(4, ge=1, description="Size of a profile value's embedding.")
    value_buckets: int = Field(4096, ge=2, description="Hash buckets of category, brand and attribute values.")
    value_dim: int = Field(8, ge=1, description="Size of the summed embedding of a product's values.")

    behaviour: ThinBehaviourConfig = ThinBehaviourConfig()
    picture_dim: int = Field(32, ge=0, le=512, description="Directions in which pictures are compared.")

    cross_layers: int = Field(2, ge=1, le=8, description="Stacked cross layers of DCN-V2.")
    projection_dim: int = Field(32, ge=1, description="Rank of the cross layers' matrices.")
    deep_units: tuple[int, ...] = Field((96, 48), description="Widths of the deep network beside the cross network.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout in the deep network.")
    heads: Literal["conditional", "independent", "click", "cart", "purchase"] = Field(
        "conditional",
        description="conditional: P(cart) = P(click) P(cart | click), as ESMM does; independent: three sigmoids; "
        "click, cart, purchase: one sigmoid that learns from these alone, and that calibration maps to all three.",
    )

    list_length: int = Field(
        40,
        ge=2,
        description="Products of a training list: those shown, then never-shown ones, which count as shown where a log "
        "has no impressions.",
    )
    position_bias: bool = Field(
        True, description="Learn P(examined) by position and correct by it; else every shown product counts as seen."
    )
    examination_bend: float = Field(
        0.03,
        gt=0,
        description="How much the power of the position by which examination falls may change from one knot of its "
        "curve to the next, a prior standard deviation; a small one holds it to one power.",
    )
    max_position: int = Field(40, ge=2, description="Positions beyond share the last one's examination.")
    unshown_weight: float = Field(
        0.01, ge=0, le=1, description="Share of examination that a never-shown candidate has in the list's softmax."
    )
    loss: Literal["pointwise", "listwise", "both"] = Field(
        "both", description="pointwise: the heads' log-loss; listwise: a softmax over the list."
    )
    pointwise_weight: float = Field(1.0, ge=0, description="Weight of the heads' log-loss, summed over the list.")
    listwise_weight: float = Field(0.3, ge=0, description="Weight of the softmax over the list.")
    teacher_weight: float = Field(
        10.0, ge=0, description="Weight of following the order of trees that are grown on the same pages; 0: no trees."
    )
    cart_weight: float = Field(1.0, ge=0, description="What a cart is worth in the score, in clicks.")
    purchase_weight: float = Field(2.0, ge=0, description="What a purchase is worth in the score, in clicks.")
    name_weight: float = Field(
        8.0,
        ge=0,
        description="What it adds to the score that a product holds all words of a query which the catalogue knows, a "
        "name in its title, brand, category or attributes among them, or all of its title (four words at least): more "
        "than taste does. 0: names are words.",
    )
    picture_query_weight: float = Field(
        7.5,
        ge=0,
        description="What retrieval's cosine adds to the score where a picture was asked with: no feature sees it.",
    )

    learning_rate: float = Field(2e-3, gt=0, description="Adam's peak rate; it falls to a tenth by a cosine.")
    weight_decay: float = Field(
        4.0,
        ge=0,
        description="Decoupled weight decay, times the learning rate a step, for 10,000 lists: with the root of their "
        "number it falls. Crosses overfit without it, and without trees need twice as much.",
    )
    batch_requests: int = Field(64, ge=1, description="Lists a training step.")
    epochs: int = Field(16, ge=1, description="Passes over the lists at most.")
    patience: int = Field(
        6, ge=1, description="Epochs, in the second half, without a better validation NDCG@10 before training stops."
    )
    max_requests: int = Field(60_000, ge=1, description="At most so many lists, the latest ones.")
    max_validation_requests: int = Field(
        8_000,
        ge=1,
        description="At most so many validation lists, a seeded sample. The lowest predictions come true only where "
        "there are clicks enough among them.",
    )
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = Field(
        "float32", description="Compute type of cross and deep layers; heads and losses stay float32."
    )
    feature_memory_gb: Annotated[float, Operational()] = Field(
        1.5, ge=0, description="Features of lists that fit into so much memory are computed once, else in each epoch."
    )
    seed: int = Field(0, description="Seed of initial weights, sampling and order.")
