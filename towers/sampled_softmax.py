"""The retrieval loss over a sample of the catalogue, drawn evenly and shared by the queries of a batch."""

import math

import tensorflow as tf


class SampledSoftmaxTask:
    """Softmax cross-entropy of each query's product, with the rest of the catalogue estimated from a sample.

        loss = sum_i w_i * -log( e_ii / (e_ii + P / S * sum_j e_ij) )  /  sum_i w_i

    where e_ij = exp(<q_i, p_j> / temperature) and j runs over the S products that were drawn, but for the query's own:
    importance sampling of the softmax over all P products, evenly (Bengio and Senécal 2008, section 3). Unlike in
    `RetrievalTask`, one query's product is no negative of the others, so there is no popularity to correct for.

    Args:
        n_products: P.
    """

    def __init__(self, n_products: int) -> None:
        self._log_products = math.log(n_products)

    def __call__(
        self,
        queries: tf.Tensor,
        products: tf.Tensor,
        rows: tf.Tensor,
        drawn: tf.Tensor,
        drawn_rows: tf.Tensor,
        weights: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tf.Tensor:
        """The weighted mean over the queries.

        Args:
            queries: [num_queries, dim].
            products: [num_queries, dim], each query's own.
            rows: [num_queries] int32, their product rows.
            drawn: [num_drawn, dim], at least one.
            drawn_rows: [num_drawn] int32, their product rows.
            weights: [num_queries] float32, of the examples; 0 leaves one out.
            temperature: scalar.

        Returns:
            Scalar float32.
        """
        queries /= temperature
        own = tf.reduce_sum(queries * products, axis=-1, keepdims=True)
        others = tf.matmul(queries, drawn, transpose_b=True)
        others = tf.where(rows[:, None] == drawn_rows, others.dtype.min, others)
        sampled = tf.reduce_logsumexp(others, axis=-1, keepdims=True)
        sampled += self._log_products - tf.math.log(tf.cast(tf.shape(drawn)[0], sampled.dtype))
        losses = tf.math.softplus(sampled - own)[:, 0]
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
