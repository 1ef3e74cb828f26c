"""Variants of the settings on a few sequences: what changes, what is compared, what is kept."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sequence_ablations as command
from benchmarks import sequence_training
from benchmarks.sequence_ablations import UNCHANGED, VARIANTS, SequenceAblations, chosen_variants, compared, table_of
from benchmarks.sequence_data import Sequences
from benchmarks.sequences import DEFAULT_CONFIG
from catalog.config import parse_config, read_yaml
from catalog.errors import ConfigError
from towers.config import TowersConfig
from towers.train import TrainingError

LINES = ["7 10 20 30 40", "3 20 30 10 50 60", "9 60 50 20 10", "4 40 30 60 20 50", "5 10 30 50 20 40"]
SMALL = """
dim: 8
history: {length: 3, blocks: 1, heads: 2, dropout: 0.1}
sequences: {targets: 4, epochs: 1, uniform_negatives: 2}
"""


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_but_the_seeds_and_the_attributes_changes_the_settings(variant: command.Variant) -> None:
    config = parse_config(TowersConfig, read_yaml(DEFAULT_CONFIG), "the test")
    assert (variant.configure(config) == config) == (not variant.changes)


def test_a_variant_that_names_logq_has_it_whatever_the_settings_say() -> None:
    config = parse_config(TowersConfig, {"sequences": {"logq": False}}, "the test")
    named = {variant.name: variant.configure(config).sequences.logq for variant in VARIANTS if "logQ" in variant.name}
    assert named == {
        "in-batch, logQ and uniform negatives": True,
        "in-batch and uniform negatives, no logQ": False,
        "in-batch and logQ alone": True,
    }


def test_names_are_told_apart_on_disk(tmp_path: Path) -> None:
    nothing: Any = None
    ablations = SequenceAblations(nothing, None, TowersConfig(), 1.0, tmp_path / "out.json")
    assert len({ablations._path(variant) for variant in VARIANTS}) == len(VARIANTS)


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
    monkeypatch.delattr(Sequences, "test")  # nobody looks at the test targets
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL)
    out, losses = tmp_path / "out.json", {"sampled": "sampled", "in-batch and logQ alone": "in_batch"}
    run(monkeypatch, tmp_path, "--out", str(out), "--only", *losses)
    answer = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == answer
    assert {name: found["loss"] for name, found in answer["variants"].items()} == {UNCHANGED: "full"} | losses
    assert answer["users"] == len(LINES)

    trained = []
    run_one = SequenceAblations.run
    monkeypatch.setattr(
        SequenceAblations, "run", lambda self, variant: trained.append(variant.name) or run_one(self, variant)
    )
    run(monkeypatch, tmp_path, "--out", str(out), "--only", "sampled")
    again = json.loads(out.read_text())
    assert again["variants"] == answer["variants"]  # one that nobody asked for is in the table, as it is finished
    assert not trained
    run(monkeypatch, tmp_path, "--out", str(out), "--only", "sampled", "--minutes", "24")
    assert trained == [UNCHANGED, "sampled"]
    assert set(json.loads(out.read_text())["variants"]) == {UNCHANGED, "sampled"}


def test_a_training_that_fails_does_not_take_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL)
    took = {"ranks": [0] * 5, "epoch": 1, "epochs": 1, "out_of_time": False, "cpu_seconds": 1.0}

    def train(self: SequenceAblations, variant: command.Variant) -> dict[str, Any]:
        if variant.name == failing:
            raise TrainingError("the loss is nan")
        return took

    monkeypatch.setattr(SequenceAblations, "run", train)
    failing = "sampled"
    run(monkeypatch, tmp_path, "--only", "sampled", "dropout 0.2")
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])["variants"]) == {UNCHANGED, "dropout 0.2"}
    failing = UNCHANGED
    with pytest.raises(SystemExit, match="the loss is nan"):
        run(monkeypatch, tmp_path, "--only", "sampled")


def test_a_result_has_the_key_of_the_code_that_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL)
    took = {"ranks": [0] * 5, "epoch": 1, "epochs": 1, "out_of_time": False, "cpu_seconds": 1.0}
    code, keys = ["old"], []
    monkeypatch.setattr(command, "fingerprint", lambda *_: code[0])
    monkeypatch.setattr(SequenceAblations, "run", lambda self, variant: (code.__setitem__(0, "new"), took)[1])
    monkeypatch.setattr(command, "keep_result", lambda path, content: keys.append(content["key"]))
    run(monkeypatch, tmp_path, "--out", str(tmp_path / "out.json"), "--only", "dropout 0.2")
    assert keys == ["old 0", "new 0"]


@pytest.mark.parametrize(
    ("settings", "whole", "same"),
    [
        ("", 10**10, set()),
        ("", 47, {"no label smoothing", "in-batch, logQ and uniform negatives"}),  # 8 targets, 6 items
        (", loss: in_batch", 10**10, {"no label smoothing", "in-batch, logQ and uniform negatives"}),
        (
            ", loss: in_batch, logq: false",
            10**10,
            {"no label smoothing", "in-batch and uniform negatives, no logQ"},
        ),
        (", loss: sampled", 10**10, {"no label smoothing", "sampled"}),
    ],
)
def test_what_trains_as_the_unchanged_one_is_left_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: str,
    whole: int,
    same: set[str],
) -> None:
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL.replace("targets: 4", f"targets: 4{settings}"))
    took = {"ranks": [0] * 5, "epoch": 1, "epochs": 1, "out_of_time": False, "cpu_seconds": 1.0}
    monkeypatch.setattr(sequence_training, "_FULL_WORK", whole)
    monkeypatch.setattr(SequenceAblations, "run", lambda self, variant: took)
    losses = [variant.name for variant in VARIANTS if "loss" in str(variant.changes) or "smoothing" in variant.name]
    run(monkeypatch, tmp_path, "--only", *losses, "another seed", "dropout 0.2")
    output = capsys.readouterr()
    found = set(json.loads(output.out.splitlines()[-1])["variants"])
    assert found == {UNCHANGED, "another seed", "dropout 0.2", *losses} - same
    said = [line for line in output.err.splitlines() if line.startswith("left out")]
    assert len(said) == bool(same)
    assert all(name in said[0] for name in same)


def test_settings_that_a_variant_does_not_allow_matter_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Shop.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "small.yaml").write_text(SMALL.replace("uniform_negatives: 2", "uniform_negatives: 0"))
    took = {"ranks": [0] * 5, "epoch": 1, "epochs": 1, "out_of_time": False, "cpu_seconds": 1.0}
    monkeypatch.setattr(SequenceAblations, "run", lambda self, variant: (variant.configure(self._config), took)[1])
    run(monkeypatch, tmp_path, "--out", str(tmp_path / "out.json"), "--only", "dropout 0.2")
    (tmp_path / "Shop.txt").unlink()  # said before the data is read
    for only in (["--only", "sampled"], []):
        with pytest.raises(SystemExit, match="needs uniform_negatives"):
            run(monkeypatch, tmp_path, "--out", str(tmp_path / "out.json"), *only)


def test_a_name_that_is_none_is_an_error_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="there is no variant 'nothing'"):
        run(monkeypatch, tmp_path, "--only", "nothing")
