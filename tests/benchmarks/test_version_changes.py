"""How a release is published again."""

from pathlib import Path

from benchmarks.version_changes import publish


def test_a_version_appears_whole_and_shares_its_files(tmp_path: Path) -> None:
    source, base = tmp_path / "search" / "3", tmp_path / "base"
    (source / "variables").mkdir(parents=True)
    (source / "variables" / "data").write_bytes(b"weights")
    base.mkdir()
    publish(source, base, 7)
    assert [item.name for item in base.iterdir()] == ["7"]
    assert (base / "7" / "variables" / "data").samefile(source / "variables" / "data")
