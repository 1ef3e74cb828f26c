"""The whole configuration of one run: a section a package, composed here."""

from pathlib import Path
from typing import Annotated, Literal

import Stemmer
from pydantic import Field, field_validator, model_validator

from catalog.config import Config, Operational, parse_config, read_yaml
from catalog.features import FeaturesConfig
from catalog.ingest import IngestConfig
from catalog.simulate import SimulateConfig
from catalog.splits import SplitsConfig
from rerank.config import RerankConfig
from towers.config import TowersConfig
from towers.image_config import ImageConfig
from towers.index_config import IndexConfig

CONFIGS = Path(__file__).parent / "configs"


class SourceConfig(Config):
    """Where the shop's data comes from."""

    kind: Literal["files", "fashion", "made_up"] = Field(
        "files",
        description="files: a folder of products/events/users/judgments; fashion: the Kaggle layout, zip or folder; "
        "made_up: the simulator makes the products too.",
    )
    path: Annotated[Path | None, Operational()] = Field(
        None, description="The folder or zip; `--source` on the command line overrides it."
    )
    limit: int | None = Field(None, ge=1, description="Take a seeded random subset of so many products (fashion only).")
    seed: int = Field(0, description="Seed of that subset.")


class ReleaseConfig(Config):
    """What is exported."""

    snapshot: Literal["test", "latest"] = Field(
        "test",
        description="test: the first test day's counters and the products launched by then, so that a report can judge "
        "it on what followed; latest: those after the last event, for deployment, which no report may judge. Stock, "
        "prices, ratings and texts are in either as the products table has them.",
    )
    candidates: int = Field(200, ge=1, description="C: candidates that retrieval returns and the reranker scores.")
    word_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the candidates that products may take which the query's rarer words find, beside those "
        "that its vector finds; 0: vectors alone.",
    )
    results: int = Field(50, ge=1, description="K: products that `search` answers with; at most `candidates`.")
    collapse_duplicates: bool = Field(
        False,
        description="`search` answers with the best placed of products that share a title. Off: two products of one "
        "name may differ in what the name leaves out, which only the shop knows.",
    )

    @property
    def word_candidates(self) -> int:
        """How many candidates the query's words may find."""
        return round(self.candidates * self.word_share)


class EvaluateConfig(Config):
    """How the release is judged."""

    requests: int = Field(2000, ge=1, description="At most so many test requests a task, drawn with `seed`.")
    pages: int = Field(
        20_000,
        ge=1,
        description="At most so many pages of the test days a task are what probabilities are judged on, drawn with "
        "`seed`; low predictions come true so seldom that a few pages tell nothing of them.",
    )
    attribute_queries: int = Field(
        300, ge=0, description="Queries made from the catalogue's columns; 0 leaves them out."
    )
    attribute_keys: tuple[str, ...] = Field(
        (), description="Attributes that such a query names besides the category; empty leaves the test out."
    )
    stemmer: str = Field(
        "english",
        description="Language of the Snowball stemmer of BM25 and the other methods that count words, as PyStemmer "
        "names it; empty does not stem. It leaves other scripts alone.",
    )
    modality_masks: bool = Field(True, description="Score retrieval with each modality masked in turn.")
    seed: int = Field(0, description="Seed of the samples and of the bootstrap.")

    @field_validator("stemmer")
    @classmethod
    def _known_stemmer(cls, language: str) -> str:
        known = Stemmer.algorithms()
        if language and language not in known:
            raise ValueError(f"received {language!r}, expected one of {', '.join(known)}, or nothing for no stemming")
        return language


class PipelineConfig(Config):
    """One shop, from its files to a release and its report."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Names the workspace and the release's manifest.")
    workspace: Path | None = Field(None, description="Folder of the run; runs/<name> when empty.")
    models_dir: Path = Field(Path("saved_models"), description="Where releases appear.")
    source: SourceConfig = SourceConfig()
    simulate: SimulateConfig | None = Field(
        None, description="Shoppers to simulate; empty when the shop brings its log."
    )
    ingest: IngestConfig = IngestConfig()
    features: FeaturesConfig = FeaturesConfig()
    splits: SplitsConfig = SplitsConfig()
    images: ImageConfig = ImageConfig()
    towers: TowersConfig = TowersConfig()
    index: IndexConfig = IndexConfig()
    rerank: RerankConfig = RerankConfig()
    release: ReleaseConfig = ReleaseConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _agree(self) -> "PipelineConfig":
        pairs = [
            ("ingest.image_size", self.ingest.image_size, "images.size", self.images.size),
            ("index.k", self.index.k, "release.candidates", self.release.candidates),
            ("towers.history.length", self.towers.history.length, "rerank.history_length", self.rerank.history_length),
            (
                "towers.profile_columns",
                self.towers.profile_columns,
                "rerank.profile_columns",
                self.rerank.profile_columns,
            ),
        ]
        for first, a, second, b in pairs:
            if a != b:
                raise ValueError(f"{first} = {a!r} and {second} = {b!r} must be the same")
        undeclared = sorted(set(self.towers.profile_columns) - set(self.ingest.user_columns))
        if undeclared:
            raise ValueError(f"towers.profile_columns names {undeclared}, which ingest.user_columns does not declare")
        if self.release.results > self.release.candidates:
            raise ValueError(
                f"release.results = {self.release.results} exceeds release.candidates = {self.release.candidates}"
            )
        return self


def load_config(path: Path, source: Path | None = None) -> PipelineConfig:
    """Read one run's YAML file.

    Args:
        path: the file.
        source: overrides `source.path`.

    Raises:
        ConfigError: naming each unusable setting.
    """
    values = read_yaml(path)
    section = (values.get("source") or {}) if isinstance(values, dict) else None
    if source is not None and isinstance(section, dict):
        values = values | {"source": section | {"path": str(source)}}
    return parse_config(PipelineConfig, values, str(path))
