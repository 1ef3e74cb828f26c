"""The retrieval loss over a whole catalogue, for those small enough to be scored at every step."""

import tensorflow as tf


class FullSoftmaxTask:
    """Softmax cross-entropy of each query's product among all products.

        loss = sum_i w_i * -sum_k y_ik log softmax_j( <q_i, p_j> / temperature )_k  /  sum_i w_i

    where y gives 1 - smoothing to the query's own product and spreads the rest evenly (Szegedy et al. 2016,
    section 7). Its time and memory grow with the catalogue; `RetrievalTask` does not.

    Args:
        smoothing: the share that is spread.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def __call__(
        self, queries: tf.Tensor, products: tf.Tensor, rows: tf.Tensor, weights: tf.Tensor, temperature: tf.Tensor
    ) -> tf.Tensor:
        """The weighted mean over the queries.

        Args:
            queries: [num_queries, dim].
            products: [num_products, dim], all there are.
            rows: [num_queries] int32, each query's own product.
            weights: [num_queries] float32, of the examples; 0 leaves one out.
            temperature: scalar.

        Returns:
            Scalar float32.
        """
        queries /= temperature
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=rows, logits=tf.matmul(queries, products, transpose_b=True)
        )
        if self.smoothing:
            # The mean logit is the logit of the mean product: no second pass over [num_queries, num_products].
            away = tf.gather(products, rows) - tf.reduce_mean(products, axis=0)
            losses += self.smoothing * tf.reduce_sum(queries * away, axis=-1)
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))
