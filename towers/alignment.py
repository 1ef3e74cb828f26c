"""Text and picture of one product drawn together, those of different products apart."""

import tensorflow as tf

_TEMPERATURE = 0.07  # where CLIP's starts (Radford et al. 2021, section 2.5)
_HIDDEN = -1e9


def alignment_loss(text: tf.Tensor, image: tf.Tensor, present: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Symmetric InfoNCE over the cosines of texts and pictures (Radford et al. 2021, figure 3).

        loss = mean over products i with both of  -1/2 (log softmax_j(s_ij)_i + log softmax_j(s_ji)_i)

    where s_ij is the cosine of text i and picture j over the temperature. A product that is drawn twice is no negative
    of itself.

    Args:
        text, image: [products, dim] vectors of any length.
        present: [products] bool, whether there are both; others take no part.
        rows: [products] int32, product rows.

    Returns:
        Scalar float32, 0 where no product has both.
    """
    text, image = (tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1) for vectors in (text, image))
    scores = tf.matmul(text, image, transpose_b=True) / _TEMPERATURE
    again = (rows[:, None] == rows[None, :]) & ~tf.eye(tf.shape(rows)[0], dtype=tf.bool)
    hidden = again | ~present[None, :] | ~present[:, None]
    own = tf.linalg.diag_part(scores)
    scores = tf.where(hidden, _HIDDEN, scores)
    by_text = tf.reduce_logsumexp(scores, axis=1) - own
    by_image = tf.reduce_logsumexp(scores, axis=0) - own
    weights = tf.cast(present, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(0.5 * (by_text + by_image) * weights), tf.reduce_sum(weights))
