"""Settings of the index, and what tuning chooses."""

from typing import Literal

from pydantic import Field, model_validator

from catalog.config import Config


class IndexConfig(Config):
    """What the index has to reach."""

    kind: Literal["auto", "exact", "scann"] = Field(
        "auto", description="auto: exact under `exact_below` products, then whichever reaches the recall sooner"
    )
    recall_target: float = Field(0.99, gt=0, le=1, description="share of the exact best `k` that must be found")
    k: int = Field(200, ge=1, description="products retrieved; equals release.candidates")
    exact_below: int = Field(20_000, ge=0, description="products under which exact search is the right index")
    queries: int = Field(500, ge=1, description="sample queries that recall is measured on, at most")
    latency_calls: int = Field(100, ge=5, description="single queries timed for a median")


class IndexParameters(Config):
    """How ScaNN searches: by brute force, or by tree, quantised scores and exact reordering."""

    kind: Literal["exact", "scann"] = Field("exact", description="exact: brute force over all products")
    leaves: int = Field(1, ge=1, description="leaves of the tree")
    leaves_to_search: int = Field(1, ge=1, description="leaves a query visits")
    reorder: int = Field(1, ge=1, description="candidates by quantised score that are scored exactly, at least k")

    @model_validator(mode="after")
    def _check(self) -> "IndexParameters":
        if self.leaves_to_search > self.leaves:
            raise ValueError(f"leaves_to_search = {self.leaves_to_search} must not exceed leaves = {self.leaves}")
        return self


def scann_label(leaves: int) -> str:
    """What tables and curves call ScaNN with so many leaves."""
    return f"ScaNN, {leaves:,} leaves" if leaves > 1 else "ScaNN, no tree"
