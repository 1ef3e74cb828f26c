"""Explicit feature crosses: the cross network of DCN-V2."""

from typing import Any

import keras
import keras_rs


@keras.saving.register_keras_serializable("tandem")
class CrossNetwork(keras.layers.Layer):
    """Stacked low-rank cross layers, x_{l+1} = x_0 * (U_l (V_l x_l) + b_l) + x_l.

    Wang et al. 2021, "DCN V2", eq. 1 with the low-rank matrix of eq. 2. After L layers the output holds polynomials of
    the inputs up to degree L + 1.

    Args:
        layers: L, at least 1.
        projection_dim: rank of each layer's matrix.

    Call:
        inputs: [..., features] float. Returns the same shape.

    Raises:
        ValueError: if `layers` or `projection_dim` is below 1.

    Example:
        >>> CrossNetwork(layers=2, projection_dim=4)(keras.ops.ones([3, 8])).shape
        (3, 8)
    """

    def __init__(self, layers: int, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if layers < 1 or projection_dim < 1:
            raise ValueError(
                f"expected at least one layer and rank 1, received layers={layers}, projection_dim={projection_dim}"
            )
        self.layers = layers
        self.projection_dim = projection_dim
        self._crosses = [
            keras_rs.layers.FeatureCross(projection_dim=projection_dim, dtype=self.dtype_policy, name=f"cross_{place}")
            for place in range(layers)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for cross in self._crosses:
            cross.build(input_shape)
            # FeatureCross leaves its inner layers to be built on the first call, too late to restore weights.
            cross.down_proj_dense.build(input_shape)
            cross.dense.build((*input_shape[:-1], self.projection_dim))
        self.built = True

    def call(self, inputs: Any) -> Any:
        crossed = inputs
        for cross in self._crosses:
            crossed = cross(inputs, crossed)
        return crossed

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers, "projection_dim": self.projection_dim}
