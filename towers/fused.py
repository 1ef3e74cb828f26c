"""Keras's optimizer and batch normalisation in TensorFlow's own kernels.

Keras writes both out in ten to twenty operations, each of which passes over the whole tensor. In a network of hundreds
of small variables that is most of the graph: more than half of the time to trace it, and a tenth of a step.
"""

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, algorithm 1 with the order of computation at the end of section 2), one operation a
    variable. `weight_decay` is decoupled, as in AdamW.

    The sparse gradients of embeddings are left to Keras, unless they are clipped by the global norm: then they become
    dense, as in Keras. Gradients are given to `apply`.

    Raises:
        ValueError: if `amsgrad` is asked for, which the kernel does not have.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("FusedAdam has no amsgrad; take keras.optimizers.Adam")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """As Keras's; the powers that correct the moments' bias are the same for all variables of a step."""
        step = tf.cast(self.iterations + 1, tf.float32)
        self._bias_powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super().apply(grads, trainable_variables)

    def _clip_gradients(self, grads: Any) -> Any:
        """As Keras's, which sums a table's sparse gradient up twice: once squared, to measure it, and once to scale it.

        Of a sparse gradient the norm is that of its slices, before those of one row are summed. Not so of several
        replicas, which Keras clips each for itself: here the sum is clipped, and each is given its share of it.
        """
        if not self.global_clipnorm:
            return super()._clip_gradients(grads)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync if context is not None else 1
        dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
        if replicas == 1:
            return tf.clip_by_global_norm(dense, self.global_clipnorm, tf.linalg.global_norm(grads))[0]
        some = [place for place, gradient in enumerate(dense) if gradient is not None]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, [dense[place] for place in some])
        for place, gradient in zip(some, tf.clip_by_global_norm(summed, self.global_clipnorm)[0], strict=True):
            dense[place] = gradient / replicas
        return dense

    def update_step(self, gradient: Any, variable: tf.Variable, learning_rate: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        power_1, power_2 = self._bias_powers
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


@keras.saving.register_keras_serializable("tandem")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015, algorithms 1 and 2) of [batch, height, width, channels], with scale
    and center, over the last axis, without mask or renorm.

    The moving variance takes in the unbiased variance of a batch, as algorithm 2 has it and Keras does not.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        learns = bool(training and self.trainable)
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=[] if learns else self.moving_mean.value,
            variance=[] if learns else self.moving_variance.value,
            epsilon=self.epsilon,
            is_training=learns,
        )
        if learns:
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return normalised


def with_fused_normalisation(model: keras.Model) -> keras.Model:
    """A copy of a network of pictures, with all that its layers hold, whose batch normalisations are fused.

    Args:
        model: of plain layers; its batch normalisations are as `FusedBatchNormalization` wants them.
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        made = FusedBatchNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
        return made.from_config(layer.get_config())

    fused = keras.models.clone_model(model, clone_function=copy)
    for layer in [layer for layer in model.layers if layer.weights]:
        # As files are read: some layers work with more than their weights, which `set_weights` would leave as it was.
        state: dict[str, Any] = {}
        layer.save_own_variables(state)
        fused.get_layer(layer.name).load_own_variables(state)
    return fused
