"""The made-up shop as a fixture, and this folder on the path so that tests can import what builds it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hand_made_products import build_extractor
from made_up_shop import MadeUpShop, build_made_up_shop

from rerank.features import FeatureExtractor


@pytest.fixture(scope="session")
def made_up_shop(tmp_path_factory: pytest.TempPathFactory) -> MadeUpShop:
    return build_made_up_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(
    scope="module"
)  # a seed set by another module's test would clear its tokenizer from TensorFlow's caches
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    return build_extractor(tmp_path_factory.mktemp("tokens"))
