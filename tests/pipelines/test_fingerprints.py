"""Files, outputs and code are told apart by what a result depends on, and by nothing else."""

import ast
from pathlib import Path

import pytest

from pipelines.fingerprints import code_digest, file_states, output_digests
from pipelines.run import STAGES

REPOSITORY = Path(__file__).parent.parent.parent


def test_files_are_named_inside_the_shops_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop" / "images").mkdir(parents=True)
    (tmp_path / "shop" / "products.csv").write_text("product_id\n")
    (tmp_path / "shop" / "images" / "1.png").write_text("png")
    monkeypatch.chdir(tmp_path)
    states = file_states(Path("shop"), ())
    assert [(name, size) for name, size, _ in states] == [("images/1.png", 3), ("products.csv", 11)]
    assert file_states(tmp_path / "shop", ()) == states
    assert file_states(tmp_path / "shop", (tmp_path / "shop" / "images",)) == states[1:]


def test_outputs_are_digested_file_by_file_inside_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "run" / "tables").mkdir(parents=True)
    (tmp_path / "run" / "tables" / "a").write_text("abc")
    (tmp_path / "run" / "b").write_text("")
    (tmp_path / "elsewhere").write_text("abc")
    root = tmp_path / "run"
    before = output_digests(root, [root / "tables", root / "b", tmp_path / "elsewhere"])
    assert list(before) == ["b", "tables/a"]
    (tmp_path / "run" / "tables" / "a").write_text("abd")
    after = output_digests(root, [root / "tables", root / "b"])
    assert before["b"] == after["b"]
    assert before["tables/a"] != after["tables/a"]


FIRST = 'def run():\n    """Add one."""\n    from rerank import second\n    return second.ONE + 1\n'


@pytest.mark.parametrize(
    ("module", "text", "same"),
    [
        ("towers/first", "# of numbers\n" + FIRST.replace("Add one.", "Add 1.").replace("ONE + 1", "ONE  +  1"), True),
        ("towers/first", FIRST.replace("+ 1", "+ 2"), False),
        ("rerank/second", "ONE = 3\n", False),  # imported in a function
        ("rerank/__init__", "import os\n", False),  # runs before the module inside it
        ("rerank/third", "TWO = 3\n", True),  # which nothing imports
        ("catalog/progress", "WIDTH = 3\n", True),  # the terminal's
    ],
)
def test_code_is_a_module_and_all_that_it_imports(tmp_path: Path, module: str, text: str, same: bool) -> None:
    def write(folder: Path, changed: dict[str, str]) -> str:
        texts = {
            "towers/__init__": "",
            "towers/first": FIRST,
            "rerank/__init__": "",
            "rerank/second": "import numpy\nfrom catalog.progress import WIDTH\nONE = 1\n",
            "rerank/third": "TWO = 2\n",
            "catalog/__init__": "",
            "catalog/progress": "WIDTH = 1\n",
        }
        for name, content in (texts | changed).items():
            path = (folder / name).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return code_digest("towers.first", folder)

    assert (write(tmp_path / "a", {}) == write(tmp_path / "b", {module: text})) is same


def test_every_stage_names_the_module_that_does_its_work() -> None:
    for number, stage in enumerate(STAGES, start=1):
        assert stage.module == f"pipelines.s{number:02}_{stage.name}"
        assert (REPOSITORY / stage.module.replace(".", "/")).with_suffix(".py").exists()


def test_imports_are_absolute_as_the_digest_of_code_expects() -> None:
    for package in ("catalog", "towers", "rerank", "evaluation", "serving", "pipelines", "benchmarks"):
        for path in (REPOSITORY / package).rglob("*.py"):
            imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
            assert not any(node.level for node in imports), path
