"""docs/deployment.md and docs/troubleshooting.md: what they name exists, and what they compute is right."""

import re
from pathlib import Path

import pytest
import typer
import yaml
from stock_flags import STOCK_FLAGS

from pipelines.cli import app
from rerank.config import LexicalConfig, RerankConfig
from towers.config import TowersConfig

ROOT = Path(__file__).parents[2]
PAGES = ("docs/deployment.md", "docs/troubleshooting.md", "serving_config/README.md")
GUIDE = (ROOT / PAGES[0]).read_text(encoding="utf-8")
GIB = 2**30

# Of commands and programs other than tensorflow_model_server.
OTHER_FLAGS = {
    "auth_token_file", "build-arg", "ca", "cert", "detach", "from-file", "host", "init", "json", "key", "max-p99-ms",
    "models", "namespace", "out", "profile", "read-only", "rest_api_host", "tmpfs", "wait", "wait_for_versions",
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:serving_config|docs)/[\w.-]*\w", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    for name in re.findall(r"`([\w.-]+\.(?:config|yaml|sh|txt))`", text):
        known = name in ("models.config", "certificates/ssl.config")
        assert known or (ROOT / "serving_config" / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"\btandem ([a-z]+(?:-[a-z]+)*)", "\n".join(re.findall(r"`[^`]+`|^    .*$", text, re.M))):
        assert name in commands, name
    for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)", text):
        assert flag in STOCK_FLAGS | OTHER_FLAGS, flag


def test_the_init_container_is_a_container() -> None:
    (block,) = re.findall(r"  ```yaml\n(.*?)  ```", GUIDE, re.S)
    (container,) = yaml.safe_load(block)["initContainers"]
    assert set(container) == {"name", "image", "command", "volumeMounts"}
    assert container["volumeMounts"] == [{"name": "models", "mountPath": "/models"}]


def test_the_bytes_of_a_product_are_those_of_the_default_config() -> None:
    """The table's sizes that a config sets; counters and attributes depend on the shop."""
    dim, lexical = TowersConfig().dim, LexicalConfig()
    words = lexical.title_words + lexical.attribute_words + lexical.long_words
    rows = dict(re.findall(r"^\| ([a-z][^|]*?) \| [^|]+ \| (\d+) \|$", GUIDE, re.M))
    for name in ("index vectors", "content vectors, for histories", "product vectors, for the reranker"):
        assert int(rows[name]) == 4 * dim
    assert int(rows["words of title, attributes, long text"]) == 4 * words
    assert int(rows["tokens"]) == 4 * lexical.product_tokens
    assert int(rows["looks, from pictures"]) == 4 * RerankConfig().picture_dim
    assert int(rows["embeddings of the values, summed"]) == 4 * RerankConfig().value_dim
    assert sum(int(size) for size in rows.values()) == 1608
    assert "| **together** | | **1,608** |" in GUIDE
    assert "1,808 bytes exact and 2,080 with ScaNN" in GUIDE  # + 200 for ids; + 4 D + D / 4
    assert 1608 + 200 + 4 * dim + dim // 4 == 2080


@pytest.mark.parametrize(
    ("name", "products"), [("100,000 products", 100_000), ("one million", 1_000_000), ("ten million", 10_000_000)]
)
def test_the_memory_table_is_what_its_formula_gives(name: str, products: int) -> None:
    version = [1.2 * (0.22 + products * size / GIB) for size in (1808, 2080)]

    def cell(values: list[float]) -> str:
        return " / ".join(f"{value:.1f}" for value in values)

    two, three = ([0.83 + count * size for size in version] for count in (2, 3))
    disk = (0.28e9 + 5300 * products) / GIB
    row = re.search(rf"^\| {name} \| (.+) \|$", GUIDE, re.M)
    assert row is not None
    versions, kept, changing, limit, stored = row[1].split(" | ")
    assert (versions, kept, changing, stored) == (cell(version), cell(two), cell(three), f"{disk:.1f}")
    assert float(limit) > max(three)
