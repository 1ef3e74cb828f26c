"""Text in any language: a SentencePiece tokenizer inside the graph, and the encoder queries and products share."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from catalog.errors import DataError
from catalog.schema import TEXT_FIELDS, TEXT_PUNCTUATION
from towers.attention import TransformerBlock, filled_length
from towers.lookup import embed

PAD = 0
_UNKNOWN = 1
_BYTE_PIECES = 256
_CHARACTERS_A_TOKEN = 16  # text beyond this many characters a token of the window is not looked at
_MAX_SENTENCES = 200_000
_MAX_SENTENCE_BYTES = 4192  # SentencePiece's own limit; longer sentences would be skipped


def train_tokenizer(texts: Iterable[str], vocab_size: int, seed: int = 0) -> bytes:
    """Train a SentencePiece unigram model (Kudo 2018) with byte fallback on `texts`.

    Args:
        texts: product texts and queries; empty ones are left out, repeated ones count once.
        vocab_size: pieces at most; a small corpus yields fewer.
        seed: of the sample of texts, where there are more than 200,000.

    Returns:
        The serialized model: pad id 0, unknown id 1, no begin or end pieces, text normalized by nmt_nfkc_cf.

    Raises:
        DataError: if there is no text at all.
    """
    import sentencepiece

    unique = sorted({_clip(text) for text in texts} - {""})
    if not unique:
        raise DataError("no product or query has any text to train the tokenizer on; at least one title is needed")
    if len(unique) > _MAX_SENTENCES:
        chosen = np.random.default_rng(seed).choice(len(unique), _MAX_SENTENCES, replace=False)
        unique = [unique[index] for index in np.sort(chosen)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(unique),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=0.9995,
        byte_fallback=True,
        normalization_rule_name="nmt_nfkc_cf",
        max_sentence_length=_MAX_SENTENCE_BYTES,
        pad_id=PAD,
        unk_id=_UNKNOWN,
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def _clip(text: str) -> str:
    return " ".join(text.split()).encode()[: _MAX_SENTENCE_BYTES - 8].decode(errors="ignore")


class Tokenizer:
    """Strings to piece ids, alike in the graph (TF Text) and outside of it (SentencePiece).

    Args:
        model: a serialized SentencePiece model of `train_tokenizer`.

    Attributes:
        vocab_size: number of pieces; ids are below it, 0 is padding.
    """

    def __init__(self, model: bytes) -> None:
        import sentencepiece

        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size = int(self._processor.vocab_size())

    def encode(self, texts: Sequence[str], length: int) -> npt.NDArray[np.int32]:
        """[len(texts), length] int32 ids, padded on the right with 0; what is beyond `length` is cut off."""
        tokens = np.full((len(texts), length), PAD, np.int32)
        for row, pieces in enumerate(self._processor.encode([_window(text, length) for text in texts], num_threads=2)):
            kept = pieces[:length]
            tokens[row, : len(kept)] = kept
        return tokens

    def graph(self) -> "GraphTokenizer":
        """The same tokenizer as TensorFlow ops."""
        return GraphTokenizer(self.model)


class GraphTokenizer(tf.Module):
    """`Tokenizer.encode` as TF Text ops, to be tracked by a module that is exported."""

    def __init__(self, model: bytes) -> None:
        import tensorflow_text

        super().__init__(name="tokenizer")
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(model=model, out_type=tf.int32)

    def __call__(self, texts: tf.Tensor, length: int) -> tf.Tensor:
        """texts: [batch] string, any bytes. Returns [batch, length] int32, padded on the right with 0."""
        valid = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        window = tf.strings.substr(valid, 0, _CHARACTERS_A_TOKEN * length, unit="UTF8_CHAR")
        pieces = self._tokenizer.tokenize(window)
        return tf.ensure_shape(pieces.to_tensor(PAD, shape=(None, length)), (None, length))


def _window(text: str, length: int) -> str:
    # A lone surrogate has no UTF-8 form, so no request holds one.
    return text[: _CHARACTERS_A_TOKEN * length].encode("utf-8", errors="replace").decode("utf-8")


def graph_product_text(fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """`catalog.schema.product_text` as TensorFlow ops: [batch] strings by field name to [batch] strings."""
    joined = tf.strings.join([fields[name] for name in TEXT_FIELDS], separator=" ")
    escaped = "".join("\\" + character for character in TEXT_PUNCTUATION)
    return tf.strings.regex_replace(joined, f"[{escaped}]", " ")


@keras.saving.register_keras_serializable("tandem")
class TextEncoder(keras.layers.Layer):
    """Token ids to one vector: embeddings and positions, transformer blocks, attention pooling.

    The pooling gives each token, and in it each head, a softmax weight from the token alone (Lin et al. 2017, eq. 5).

    Args:
        vocab_size: number of pieces.
        dim: size of token and text vectors.
        max_tokens: the longest input.
        layers: transformer blocks.
        heads: attention and pooling heads; divides `dim`.
        dropout: in the blocks, in training.

    Call:
        tokens: [batch, length] int32, 0 is padding; length at most `max_tokens`.
        Returns [batch, dim] vectors, zero for a text without tokens, and [batch] bool, whether there were any.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        max_tokens: int,
        layers: int = 1,
        heads: int = 2,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocab_size, self.dim, self.max_tokens = vocab_size, dim, max_tokens
        self.layers, self.heads, self.dropout = layers, heads, dropout
        self.embedding = keras.layers.Embedding(vocab_size, dim, embeddings_initializer=_small(), name="embedding")
        self.position = keras.layers.Embedding(max_tokens, dim, embeddings_initializer=_small(), name="position")
        self.blocks = [TransformerBlock(dim, heads, dropout, name=f"block_{i}") for i in range(layers)]
        self.norm = keras.layers.RMSNormalization(name="norm")
        self.pool = keras.layers.Dense(heads, name="pool")
        self.out = keras.layers.Dense(dim, name="out")

    def build(self, tokens_shape: tuple[int | None, ...]) -> None:
        self.embedding.build(tokens_shape)
        self.position.build((self.max_tokens,))
        for layer in (*self.blocks, self.norm, self.pool):
            layer.build((*tokens_shape, self.dim))
        self.out.build((tokens_shape[0], self.dim))
        self.built = True

    def call(self, tokens: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        if not training:  # most texts are far shorter than the limit, and nothing depends on the padding
            ends = tf.where(tokens != PAD, tf.range(1, tokens.shape[1] + 1), 0)
            tokens = tokens[:, : filled_length(ends, tokens.shape[1])]
        mask = tokens != PAD
        length = tf.shape(tokens)[1]
        x = embed(self.embedding, tokens) + embed(self.position, tf.range(length))
        for block in self.blocks:
            x = block(x, visible=mask, training=training)
        x = self.norm(tf.reshape(x, (-1, self.dim)))
        logits = tf.reshape(ops.cast(self.pool(x), "float32"), (-1, length, self.heads))
        weights = ops.cast(tf.nn.softmax(logits + tf.where(mask, 0.0, -1e9)[:, :, None], axis=1), x.dtype)
        split = tf.reshape(x, (-1, length, self.heads, self.dim // self.heads))
        pooled = tf.reshape(tf.reduce_sum(split * weights[..., None], axis=1), (-1, self.dim))
        presence = tf.reduce_any(mask, axis=1)
        return self.out(pooled) * ops.cast(presence, x.dtype)[:, None], presence

    def get_config(self) -> dict[str, Any]:
        names = ("vocab_size", "dim", "max_tokens", "layers", "heads", "dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _small() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.1)
