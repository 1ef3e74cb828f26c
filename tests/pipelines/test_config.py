import pytest

from catalog.config import parse_config
from catalog.errors import ConfigError
from pipelines.config import EvaluateConfig


@pytest.mark.parametrize("stemmer", ["english", "french", ""])
def test_a_stemmer_of_the_library_or_none(stemmer: str) -> None:
    assert parse_config(EvaluateConfig, {"stemmer": stemmer}, "here").stemmer == stemmer


def test_an_unknown_stemmer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"stemmer: .*received 'klingon', expected one of .*english.*french"):
        parse_config(EvaluateConfig, {"stemmer": "klingon"}, "here")
