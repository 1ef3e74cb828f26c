"""The retrieval loss: in-batch softmax by TFRS, logQ-corrected, with mixed and hard negatives."""

from typing import Any

import tensorflow as tf


class RetrievalTask:
    """Softmax cross-entropy of each query's product among all products of the batch, of all replicas.

        loss = sum_i w_i * -log softmax_j( <q_i, p_j> / temperature - log Q_j )_i  /  sum_i w_i

    where Q_j is the probability with which product j is drawn into a batch (Yi et al. 2019, eq. 5); candidates beyond
    the queries' own are further negatives (mixed negative sampling, Yang et al. 2020; hard ones come in likewise);
    candidates that are the same product as a query's own are no negatives of that query. The softmax is the same for
    any multiple of Q; TFRS takes what is below 1e-6 for 1e-6, so give Q over the largest Q: what is cut then is below
    1e-6 of the largest.

    Args:
        logq: whether to subtract log Q.
    """

    def __init__(self, logq: bool = True) -> None:
        import tensorflow_recommenders as tfrs

        self.logq = logq
        self._task = tfrs.tasks.Retrieval(remove_accidental_hits=True)  # its loss is a sum over the queries
        # The task needs AutoGraph, which Keras and plain calls inside another trace would not give it.
        self._summed = tf.function(self._sum)

    def __call__(
        self,
        queries: tf.Tensor,
        candidates: tf.Tensor,
        candidate_rows: tf.Tensor,
        weights: tf.Tensor,
        temperature: tf.Tensor,
        probabilities: tf.Tensor,
    ) -> tf.Tensor:
        """The loss of one replica's queries; the losses of all replicas add up to the batch's weighted mean.

        Args:
            queries: [num_queries, dim].
            candidates: [num_candidates, dim]; the first num_queries are the queries' own products, in their order.
            candidate_rows: [num_candidates] int32, product rows.
            weights: [num_queries] float32, of the examples; 0 leaves one out.
            temperature: scalar.
            probabilities: [num_candidates] float32 in (0, 1], Q of each candidate, or a multiple of it.

        Returns:
            Scalar float32.
        """
        total = tf.reduce_sum(weights)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            total = context.all_reduce(tf.distribute.ReduceOp.SUM, total)
            candidates, candidate_rows, probabilities = (
                _gather_own_first(value, context) for value in (candidates, candidate_rows, probabilities)
            )
        summed = self._summed(queries / temperature, candidates, candidate_rows, weights, probabilities)
        return tf.math.divide_no_nan(summed, total)

    def _sum(
        self,
        queries: tf.Tensor,
        candidates: tf.Tensor,
        candidate_rows: tf.Tensor,
        weights: tf.Tensor,
        probabilities: tf.Tensor,
    ) -> tf.Tensor:
        return self._task(
            queries,
            candidates,
            sample_weight=weights,
            candidate_sampling_probability=probabilities if self.logq else None,
            candidate_ids=candidate_rows,
            compute_metrics=False,
            compute_batch_metrics=False,
        )


def _gather_own_first(values: tf.Tensor, context: Any) -> tf.Tensor:
    """All replicas' values, this replica's first: the task labels query i with candidate i."""
    gathered = context.all_gather(values, axis=0)
    return tf.roll(gathered, -context.replica_id_in_sync_group * tf.shape(values)[0], axis=0)
