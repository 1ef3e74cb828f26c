"""Variants of the settings on a few sequences: what changes, what is compared, what is kept."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import sequence_ablations as command
from benchmarks import sequence_training
from benchmarks.sequence_ablations import UNCHANGED, VARIANTS, chosen_variants, compared, table_of
from catalog.errors import ConfigError
from towers.config import TowersConfig

LINES = ["7 10 20 30 40", "3 20 30 10 50 60", "9 60 50 20 10", "4 40 30 60 20 50", "5 10 30 50 20 40"]
SMALL = """
dim: 8
history: {length: 3, blocks: 1, heads: 2, dropout: 0.1}
sequences: {targets: 4, epochs: 1, uniform_negatives: 2}
"""


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_but_the_seeds_and_the_attributes_changes_the_settings(variant: command.Variant) -> None:
    config = TowersConfig()
    assert (variant.configure(config) == config) == (not variant.changes)


def test_names_are_told_apart_on_disk() -> None:
    paths = {variant.name.replace(",", "").replace(" ", "-") for variant in VARIANTS}
    assert len(paths) == len(VARIANTS)


def test_only_some_are_chosen_and_the_unchanged_one_with_them() -> None:
    assert [variant.name for variant in chosen_variants(["pre-norm"], True)] == [UNCHANGED, "pre-norm"]
    assert len(chosen_variants(None, True)) == len(VARIANTS) == len(chosen_variants(None, False)) + 3
    with pytest.raises(ConfigError, match="no variant 'postnorm'"):
        chosen_variants(["postnorm"], True)
    with pytest.raises(ConfigError, match="no variant 'ids alone' without --attributes"):
        chosen_variants(["ids alone"], False)


def test_differences_are_of_users_who_find_their_target() -> None:
    """Users find it at ranks 1, 3 and not at all; then at 1, 1 and 3: recall 2/3 and 1, NDCG 0.5 and 0.83."""
    took = {"epoch": 1, "epochs": 2, "out_of_time": False, "cpu_seconds": 3.0}
    finished = {UNCHANGED: {"ranks": [0, 2, 10], **took}, "pre-norm": {"ranks": [0, 0, 2], **took}}
    found = compared(finished)
    assert found[UNCHANGED]["difference"] == {"recall@10": [0.0, 0.0, 0.0], "ndcg@10": [0.0, 0.0, 0.0]}
    assert found["pre-norm"]["validation"]["ndcg@10"] == pytest.approx(2.5 / 3)
    recall, ndcg = (found["pre-norm"]["difference"][metric] for metric in ("recall@10", "ndcg@10"))
    assert recall[0] == pytest.approx(1 / 3)
    assert ndcg[0] == pytest.approx(2.5 / 3 - 1.5 / 3)
    assert 0 <= recall[1] < recall[0] < recall[2] <= 1
    assert table_of(found).row_count == 2


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    given = ["--data", str(folder / "Shop.txt"), "--config", str(folder / "small.yaml"), *arguments]
    monkeypatch.setattr(sys, "argv", ["sequence_ablations", *given])
    command.main()


def test_the_command_trains_each_loss_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sequence_training, "_EPOCH", (1, 1000))
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL)
    out, losses = tmp_path / "out.json", {"sampled": "sampled", "in-batch and logQ alone": "in_batch"}
    run(monkeypatch, tmp_path, "--out", str(out), "--only", *losses)
    answer = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == answer
    assert {name: found["loss"] for name, found in answer["variants"].items()} == {UNCHANGED: "full"} | losses
    assert answer["users"] == len(LINES)
    assert "test" not in answer

    def fail(*arguments: object) -> None:
        raise AssertionError("what is kept is trained again")

    monkeypatch.setattr(sequence_training.SequenceTraining, "run", fail)
    run(monkeypatch, tmp_path, "--out", str(out), "--only", "sampled")
    again = json.loads(out.read_text())
    assert again["variants"] == answer["variants"]  # one that nobody asked for is in the table, too, as it is finished


def test_a_name_that_is_none_is_an_error_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="there is no variant 'nothing'"):
        run(monkeypatch, tmp_path, "--only", "nothing")
