"""The benchmark of public sequences: protocol and metrics by hand, the file's faults by name, the command itself."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import sequence_training
from benchmarks import sequences as command
from benchmarks.sequence_data import HeldOut, read_attributes, read_sequences
from benchmarks.sequence_scores import last_items, metrics, published, target_ranks
from benchmarks.sequence_training import SequenceTraining, batches, history_length, windows
from catalog.errors import DataError
from towers.config import TowersConfig
from towers.train import TrainingError

LINES = ["7 10 20 30 40", "3 20 30 10 50 60", "9 60 50 20 10", "4 40 30 60 20 50", "5 10 30 50 20 40"]
SMALL = TowersConfig.model_validate(
    {
        "dim": 8,
        "history": {"length": 3, "blocks": 1, "heads": 2, "dropout": 0.1},
        "sequences": {"targets": 4, "epochs": 1, "uniform_negatives": 2},
    }
)


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over the few lines is an epoch."""
    monkeypatch.setattr(sequence_training, "_EPOCH", (1, 1000))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "Shop.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def attributes(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.json"
    path.write_text(json.dumps({"10": [5, 7], "30": [7], "99": [5]}))
    return path


def test_the_last_item_tests_the_one_before_validates_the_rest_trains(data: Path) -> None:
    sequences = read_sequences(data)
    assert sequences.items.tolist() == [10, 20, 30, 40, 50, 60]
    assert sequences.users.tolist() == [7, 3, 9, 4, 5]
    assert [sequences.items[part].tolist() for part in sequences.training()[:2]] == [[10, 20], [20, 30, 10]]
    validation, test = sequences.validation(), sequences.test()
    assert sequences.items[validation.histories[1]].tolist() == [20, 30, 10]
    assert sequences.items[validation.targets[:2]].tolist() == [30, 50]
    assert sequences.items[test.histories[1]].tolist() == [20, 30, 10, 50]
    assert sequences.items[test.targets[:2]].tolist() == [40, 60]
    assert repr(sequences) == "Sequences(5 users, 6 items, 23 interactions)"


def test_targets_rank_among_all_items_but_the_users_own() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    # items 0 and 1 are the user's own: item 3 is beaten by item 2 alone; item 2 by nobody
    held_out = HeldOut((np.array([0, 1]), np.array([0, 1])), np.array([3, 2], np.int32))
    ranks = target_ranks(held_out, lambda rows: np.tile(scores, (len(rows), 1)), length=5, items=5)
    assert ranks.tolist() == [1, 0]


def test_a_target_met_before_stays_in_the_ranking() -> None:
    held_out = HeldOut((np.array([0, 2]),), np.array([2], np.int32))
    assert target_ranks(held_out, lambda rows: np.array([[3.0, 2.0, 1.0]], np.float32), 5, 3).tolist() == [1]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_model_that_tells_nothing_apart_finds_nothing(value: float) -> None:
    held_out = HeldOut((np.array([0]),), np.array([2], np.int32))
    assert target_ranks(held_out, lambda rows: np.full((1, 4), value, np.float32), 5, 4).tolist() == [2]


def test_users_of_any_length_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sequence_scores._CHUNK", 50 * 300)  # 300 users at once, of 50 items
    rng = np.random.default_rng(0)
    histories = tuple(rng.choice(50, size, replace=False) for size in rng.integers(1, 40, 700))
    targets = rng.integers(0, 50, 700).astype(np.int32)

    def score(rows: np.ndarray) -> np.ndarray:
        return ((rows[:, -1:] + 1) * np.arange(1, 51)[None] % 53).astype(np.float32)

    ranks = target_ranks(HeldOut(histories, targets), score, length=10, items=50)
    for user in (0, 1, 350, 699):
        scores = score(last_items(histories[user : user + 1], 10))[0]
        others = [i for i in range(50) if i not in histories[user] and i != targets[user]]
        assert ranks[user] == (scores[others] >= scores[targets[user]]).sum()


def test_metrics_by_hand() -> None:
    # ranks 0, 2, 7, 30: found by 5, 5, 10 and never; NDCG is 1 / log2(rank + 2): 1, 1/2, 1/log2(9) and 0
    found = metrics(np.array([0, 2, 7, 30]))
    assert found["recall@5"] == 0.5
    assert found["recall@10"] == found["recall@20"] == 0.75
    assert found["ndcg@5"] == pytest.approx(1.5 / 4)
    assert found["ndcg@10"] == found["ndcg@20"] == pytest.approx((1.5 + 1 / np.log2(9)) / 4)


def test_windows_hold_each_target_once() -> None:
    # 1 to 6 with windows of 2: targets 5 and 6, 3 and 4, 2
    cut = windows((np.arange(1, 7), np.array([1])), length=2)
    assert [piece.tolist() for piece in cut] == [[4, 5, 6], [2, 3, 4], [1, 2]]


def test_batches_hold_each_item_with_the_one_after_it() -> None:
    pieces = (np.array([1, 2, 3]), np.array([4, 5]), np.array([6, 7, 8, 9]))
    pairs = [
        (int(item), int(target))
        for groups in batches(pieces, 3, np.random.default_rng(0))
        for items, targets in groups
        for item, target in zip(items[items >= 0], targets[items >= 0], strict=True)
    ]
    assert sorted(pairs) == [(1, 2), (2, 3), (4, 5), (6, 7), (7, 8), (8, 9)]


def test_groups_of_a_batch_hold_as_many_targets_and_little_padding() -> None:
    # twelve pieces of one target and one of four: 16 targets, cut before those that reach the 4th, the 8th and the 12th
    pieces = (np.arange(5), *(np.array([1, 2]) for _ in range(12)))
    (groups,) = batches(pieces, 16, np.random.default_rng(0))
    assert [items.shape for items, _ in groups] == [(3, 1), (4, 1), (4, 1), (2, 4)]


def test_histories_are_read_from_their_end() -> None:
    assert last_items((np.array([1, 2, 3, 4]), np.array([5])), 3).tolist() == [[2, 3, 4], [-1, -1, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected one user a line"),
        ("\n \n", "is empty"),
        ("1 2 3 4\n2 3 x 5\n", r"line 2: received 'x'; expected one user a line"),
        ("1 2 3.5 4\n", r"line 1: received '3.5'"),
        ("1 2 3\n2 3 4\n", r"none of its 2 users has 3 items"),
        ("1 2 3 4\n2 3 4 5\n1 5 6 7\n", "line 3: user 1 stands on line 1 already"),
        ("1 2 3 99999999999999999999\n", "at most 64 bits"),
        ("1 2 3 " + "9" * 5000, "at most 64 bits"),
    ],
)
def test_a_fault_of_the_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "faulty.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_sequences(path)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a readable text file"):
        read_sequences(tmp_path / "nowhere.txt")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a readable text file"):
        read_sequences(tmp_path / "bytes")
    (tmp_path / "cut.gz").write_bytes(gzip.compress("\n".join(LINES).encode())[:-20])
    with pytest.raises(DataError, match="not a readable text file"):
        read_sequences(tmp_path / "cut.gz")


def test_files_from_elsewhere_are_read_alike(data: Path, attributes: Path, tmp_path: Path) -> None:
    plain = read_sequences(data)
    other = tmp_path / "other"
    foreign = ("\ufeff" + "\r\n".join(line.replace(" ", "\t", 1) for line in LINES) + "\r\n\r\n").encode()
    for content in (foreign, gzip.compress(foreign)):
        other.write_bytes(content)
        found = read_sequences(other)
        assert found.users.tolist() == plain.users.tolist()
        assert [row.tolist() for row in found.sequences] == [row.tolist() for row in plain.sequences]
    other.write_bytes(gzip.compress(attributes.read_bytes()))
    assert read_attributes(other, plain.items).rows == read_attributes(attributes, plain.items).rows


def test_users_with_few_items_are_learned_from_and_have_no_targets(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("1 10 20 30 40\n2 50 60\n3\n4 20 30 40\n")
    sequences = read_sequences(path)
    assert sequences.users.tolist() == [1, 4]
    assert sequences.items.tolist() == [10, 20, 30, 40, 50, 60]
    assert [sequences.items[part].tolist() for part in sequences.training()] == [[10, 20], [20], [50, 60], []]
    assert [len(part) for part in (sequences.validation(), sequences.test())] == [2, 2]
    assert repr(sequences) == "Sequences(2 users, 6 items, 9 interactions, 2 users with fewer than 3 items)"


def test_a_sample_of_users_keeps_history_and_target_together(data: Path) -> None:
    whole = read_sequences(data).validation()
    assert whole.sample(5) is whole
    part = whole.sample(3)
    places = [[history is other for other in whole.histories].index(True) for history in part.histories]
    assert len(set(places)) == 3
    assert part.targets.tolist() == whole.targets[places].tolist()
    assert part.targets.tolist() == whole.sample(3).targets.tolist()


def test_attributes_of_unknown_items_are_left_out_and_counted(data: Path, attributes: Path) -> None:
    found = read_attributes(attributes, read_sequences(data).items)
    assert found.rows == ((0, 1), (), (1,), (), (), ())
    assert (found.count, found.unknown_items) == (2, 1)
    assert "1 unknown items left out" in repr(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1, 2]", "holds a list; expected an object"),
        ('{"ten": [1]}', "received the key 'ten'"),
        ('{"10": 3}', "item 10 has 3; expected a list of integers"),
        ('{"10": ["red"]}', "expected a list of integers"),
        ('{"77": [1]}', "none of which has attributes and is among the 6 items"),
        ('{"77": [1], "10": []}', "none of which has attributes and is among the 6 items"),
        ('{"10": [' + "9" * 5000 + "]}", "is not JSON"),
    ],
)
def test_a_fault_of_the_attributes_is_named(data: Path, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "faulty.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_attributes(path, read_sequences(data).items)


def trained(data: Path, attributes: Path, config: TowersConfig = SMALL, seed: int = 0) -> list[np.ndarray]:
    sequences = read_sequences(data)
    training = SequenceTraining(sequences, read_attributes(attributes, sequences.items), config, seed)
    training.run()
    return training.model.get_weights()


@pytest.mark.usefixtures("eagerly")
def test_the_test_target_never_changes_a_weight(data: Path, attributes: Path) -> None:
    before = trained(data, attributes)
    swapped = [line.split() for line in LINES]
    swapped[0][-1], swapped[1][-1] = swapped[1][-1], swapped[0][-1]  # the catalogue stays as it is
    data.write_text("\n".join(map(" ".join, swapped)))
    for one, other in zip(before, trained(data, attributes), strict=True):
        np.testing.assert_array_equal(one, other)
    data.write_text(data.read_text().replace("7 10 20", "7 20 10"))  # of the training part
    assert any((one != other).any() for one, other in zip(before, trained(data, attributes), strict=True))


def test_a_rule_is_learned_by_either_loss(tmp_path: Path) -> None:
    # Twelve items in a circle: after i comes i + 1, so every target is found at once, and none by chance.
    path = tmp_path / "circle.txt"
    path.write_text("\n".join(f"{u} " + " ".join(str((u + step) % 12) for step in range(7)) for u in range(60)))
    sequences = read_sequences(path)
    for loss in ("full", "in_batch"):
        settings = {"loss": loss, "targets": 64, "epochs": 12, "patience": 12, "learning_rate": 0.05, "average": 0.5}
        config = SMALL.model_copy(update={"sequences": SMALL.sequences.model_copy(update=settings)})
        training = SequenceTraining(sequences, None, config, 0)
        best = training.run()
        assert training.measure(sequences.test())["ndcg@5"] > 0.9, loss
        assert training.measure(sequences.validation()) == pytest.approx(best.validation)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("1 2 3 4\n2 3 4 2\n")
    with pytest.raises(DataError, match="nothing to learn from"):
        SequenceTraining(read_sequences(path), None, SMALL, 0)


@pytest.mark.parametrize(
    ("lengths", "length"), [([5] * 100, 50), ([60] * 100, 60), ([60] * 99 + [900], 60), ([900] * 100, 200), ([3], 50)]
)
def test_a_history_holds_what_all_but_a_hundredth_of_the_sequences_have(lengths: list[int], length: int) -> None:
    assert history_length(TowersConfig(), lengths) == length


def test_histories_of_long_sequences_are_longer(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("1 " + " ".join(map(str, range(20))) + "\n")
    assert SequenceTraining(read_sequences(path), None, SMALL, 0).length == 18  # without the two targets
    settings = SMALL.sequences.model_copy(update={"longest": 7})
    training = SequenceTraining(read_sequences(path), None, SMALL.model_copy(update={"sequences": settings}), 0)
    assert training.length == 7
    # of 18 items 17 are followed by one: two windows of 7, one of 3
    assert [len(piece) - 1 for piece in training.pieces] == [7, 7, 3]
    assert training.ranks(read_sequences(path).test()).shape == (1,)


def with_losses(monkeypatch: pytest.MonkeyPatch, training: SequenceTraining, *losses: float) -> None:
    """The training takes these for the losses of its epochs, and updates nothing."""
    given = iter(losses)
    monkeypatch.setattr(training, "_updates", lambda number, stream: [next(given)])


def test_a_loss_that_is_no_number_keeps_the_epochs_before(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SMALL.sequences.model_copy(update={"epochs": 5})
    training = SequenceTraining(read_sequences(data), None, SMALL.model_copy(update={"sequences": settings}), 0)
    with_losses(monkeypatch, training, 2.0, np.nan)
    assert training.run().number == 1
    assert [epoch.loss for epoch in training.epochs] == [2.0]
    with_losses(monkeypatch, training, np.inf)
    with pytest.raises(TrainingError, match="loss of the first epoch is inf"):
        training.run()


@pytest.mark.usefixtures("eagerly")
def test_an_epoch_has_neither_a_handful_of_updates_nor_hours_of_them(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # two users have one training target and three have two: 8, four a batch, are two updates a pass
    training = SequenceTraining(read_sequences(data), None, SMALL, 0)
    for limits, expected in (((1, 1000), 2), ((5, 1000), 5), ((1, 1), 1)):
        monkeypatch.setattr(sequence_training, "_EPOCH", limits)
        assert training.run().updates == expected


@pytest.mark.usefixtures("eagerly")
def test_a_training_ends_in_time_with_one_update_and_one_validation_at_least(data: Path) -> None:
    settings = SMALL.sequences.model_copy(update={"epochs": 5})
    config = SMALL.model_copy(update={"sequences": settings})
    training = SequenceTraining(read_sequences(data), None, config, 0, minutes=1e-9)
    assert training.run().updates == 1
    assert (len(training.epochs), training.out_of_time) == (1, True)
    enough = SequenceTraining(read_sequences(data), None, SMALL, 0, minutes=60)
    enough.run()
    assert not enough.out_of_time


@pytest.mark.parametrize("limit", ["_FULL_WORK", "_FULL_LOGITS"])
def test_a_large_catalogue_is_not_scored_whole_at_each_step(
    data: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    # 8 targets, 4 a batch, 6 items: 48 and 24
    whole = {"_FULL_WORK": 48, "_FULL_LOGITS": 24}[limit]
    for given, loss in ((whole, "full"), (whole - 1, "in_batch")):
        monkeypatch.setattr(sequence_training, limit, given)
        assert SequenceTraining(read_sequences(data), None, SMALL, 0).loss == loss


def draws(data: Path, **settings: Any) -> np.ndarray:
    config = SMALL.model_copy(update={"sequences": SMALL.sequences.model_copy(update=settings)})
    return SequenceTraining(read_sequences(data), None, config, 0)._draw_probabilities()


def test_draws_are_over_the_most_frequent_ones(data: Path) -> None:
    # The 8 targets: 20; 30, 10; 50; 30, 60; 30, 50. Half of them a batch and two uniform draws among six items:
    # 10, 20 and 60 come 1/2 + 1/3 times, 30 comes 3/2 + 1/3 times, 40 comes 1/3 times, 50 comes 1 + 1/3 times.
    by_hand = np.array([5, 5, 11, 2, 8, 5]) / 11
    np.testing.assert_allclose(draws(data), by_hand, rtol=1e-6)
    # No batch has more than the 8 targets: they come 1, 1, 3, 0, 2 and 1 times, and 1/3 each.
    for targets in (8, 1536):
        np.testing.assert_allclose(draws(data, targets=targets), np.array([4, 4, 10, 1, 7, 4]) / 10, rtol=1e-6)


def test_the_most_frequent_draw_is_one_however_rare_it_is(tmp_path: Path) -> None:
    # 1,500 users, 3,000 targets, each of them another item: without the largest Q each would be 1 / 3,000
    path = tmp_path / "large.txt"
    path.write_text("\n".join(f"{user} " + " ".join(str(5 * user + step) for step in range(5)) for user in range(1500)))
    found = draws(path, loss="in_batch", uniform_negatives=0)
    assert sorted(set(found.tolist())) == [0.0, 1.0]
    assert found.sum() == 3000


def test_part_of_the_users_validates_the_epochs_of_a_large_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limits, users in (((2, 10**9), 2), ((100, 18), 3), ((100, 1), 1)):  # 18 scores of six items: three users
        monkeypatch.setattr(sequence_training, "_STEERING", limits)
        training = SequenceTraining(read_sequences(data), None, SMALL, 0)
        assert (len(training.steering), len(training.validation)) == (users, 5)


def test_published_rows_are_those_of_the_file() -> None:
    name, rows = published(22_363, 12_101)
    assert name == "Amazon Beauty"
    assert rows["eSASRec (RecSys 2025)"] == (0.0928, 0.0523)
    assert published(35_598, 18_357)[1]["TIGER (paper)"] == (0.0400, 0.0225)
    assert published(5, 6) == ("", {})


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["sequences", *map(str, arguments)])
    command.main()


@pytest.mark.usefixtures("eagerly")
def test_the_command_prints_json_last_and_goes_on_from_finished_seeds(
    data: Path, attributes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "small.yaml", tmp_path / "out" / "shop.json"
    config.write_text(SMALL.model_dump_json())
    given = ("--data", data, "--attributes", attributes, "--config", config, "--out", out)
    run(monkeypatch, *given, "--seeds", 2)
    output = capsys.readouterr()
    answer = json.loads(output.out.strip().splitlines()[-1])
    assert answer == json.loads(out.read_text())
    found = [seed["test"]["recall@10"] for seed in answer["seeds"]]
    assert answer["recall@10"] == pytest.approx(sum(found) / 2)
    assert answer["ndcg@10"] == answer["test"]["ndcg@10"]["mean"]
    assert {"recall@5", "recall@20", "ndcg@5", "ndcg@20"} < answer["validation"].keys()
    assert all(seed["peak_memory_gb"] > 0 and seed["seconds"] > 0 for seed in answer["seeds"])
    assert "Nothing published is known" in output.err
    assert "CPU seconds" in output.err
    assert answer["published"] == {}

    out.with_name("shop.seed1.json").unlink()  # as if the run had been killed in the second seed
    run(monkeypatch, *given, "--seeds", 2)
    output = capsys.readouterr()
    assert output.err.count("kept in") == 1
    again = json.loads(output.out.strip().splitlines()[-1])["seeds"]
    assert again[0] == answer["seeds"][0]
    assert again[1]["test"] == answer["seeds"][1]["test"]

    data.write_text(data.read_text().replace("7 10 20", "7 20 10"))
    run(monkeypatch, *given, "--seeds", 1)
    assert "kept in" not in capsys.readouterr().err  # another file
    run(monkeypatch, *given, "--seeds", 1)
    assert "kept in" in capsys.readouterr().err
    monkeypatch.setattr(command, "package_versions", lambda: {"tensorflow": "another"})
    run(monkeypatch, *given, "--seeds", 1)
    assert "kept in" not in capsys.readouterr().err  # other packages
    monkeypatch.setattr(command, "_CODE", "another")
    run(monkeypatch, *given, "--seeds", 1)
    assert "kept in" not in capsys.readouterr().err  # other code


def test_the_commands_errors_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^error: --data .*nowhere\.txt is not a readable"):
        run(monkeypatch, "--data", tmp_path / "nowhere.txt")


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"key": "another"}'])
def test_what_another_run_left_is_not_taken_for_a_result(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "shop.seed0.json"
    if content is not None:
        path.write_text(content)
    assert command.kept_result(path, "key") is None


def test_a_full_disk_costs_no_seed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "write_json", full)
    monkeypatch.setattr(command, "run_seed", lambda *_: {"seed": 0})
    sequences = read_sequences(data)
    assert command.run_seeds(sequences, None, SMALL, 2, 25, tmp_path / "shop.json") == [{"seed": 0}] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--out", "/dev/null/shop.json"), "cannot be written"), (("--minutes", "nan"), "--minutes must be above 0")],
)
def test_a_faulty_option_is_said_before_training(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str],
    message: str,
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "--data", data, *arguments)
    assert message in capsys.readouterr().err


def test_the_settings_of_the_benchmark_are_settings_of_the_towers() -> None:
    from catalog.config import parse_config, read_yaml

    config = parse_config(TowersConfig, read_yaml(command.DEFAULT_CONFIG), "sequences.yaml")
    assert config.sequences.loss == "full"
