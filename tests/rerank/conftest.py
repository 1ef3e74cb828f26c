"""The made-up shop as a fixture, and this folder on the path so that tests can import what builds it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up_shop import MadeUpShop, build_made_up_shop


@pytest.fixture(scope="session")
def made_up_shop(tmp_path_factory: pytest.TempPathFactory) -> MadeUpShop:
    return build_made_up_shop(tmp_path_factory.mktemp("shop"))
