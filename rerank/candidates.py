"""What retrieval returned for the requests of one slice, on disk."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from catalog.errors import ArtifactError, DataError
from catalog.files import atomic_directory, read_npy, write_npy

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """What retrieval returned for the requests of one slice, one .npy file an attribute.

    Attributes:
        request: [R] int32, request numbers of the FeatureStore.
        rows: [R, C] int32 product rows; below 0 or N means none.
        scores: [R, C] float32, best first.
        query_embedding: [R, D] float32 unit vectors.
        product_embeddings: [N, D] float32 unit vectors, as they were on the day the slice starts.
    """

    request: Ints
    rows: Ints
    scores: Floats
    query_embedding: Floats
    product_embeddings: Floats

    def __post_init__(self) -> None:
        requests, products = len(self.request), len(self.product_embeddings)
        for name, found, expected in (
            ("rows", self.rows.shape, (requests, self.rows.shape[-1])),
            ("scores", self.scores.shape, self.rows.shape),
            ("query_embedding", self.query_embedding.shape, (requests, self.product_embeddings.shape[-1])),
        ):
            if found != expected:
                raise DataError(f"candidates: {name} has shape {found}, expected {expected}")
        if self.rows.size and self.rows.max() > products:
            raise DataError(f"candidates: product row {self.rows.max()} in a catalogue of {products}")

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all."""
        with atomic_directory(folder) as temporary:
            for field in fields(self):
                write_npy(temporary / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> "Candidates":
        """Read the folder, memory-mapped.

        Raises:
            ArtifactError: when a file is missing or broken.
        """
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no candidates there; run the candidates stage")
        return cls(**{field.name: read_npy(folder / f"{field.name}.npy", mmap=True) for field in fields(cls)})

    def take(self, places: npt.NDArray[np.int64]) -> "Candidates":
        """The requests at `places`, in that order."""
        return Candidates(
            request=np.asarray(self.request[places], dtype=np.int32),
            rows=np.asarray(self.rows[places], dtype=np.int32),
            scores=np.asarray(self.scores[places], dtype=np.float32),
            query_embedding=np.asarray(self.query_embedding[places], dtype=np.float32),
            product_embeddings=self.product_embeddings,
        )
