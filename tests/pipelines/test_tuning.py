"""The search: the config first, resumed after any end, refused where it would lie, and what it leaves behind."""

import os
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from catalog.errors import ArtifactError, ConfigError, TandemError
from catalog.files import read_json
from pipelines.config import PipelineConfig, load_config
from pipelines.run import STAGES
from pipelines.search_space import Part, value_at, with_values
from pipelines.trial import GoesOn, Outcome
from pipelines.tuning import Tuning, tune
from pipelines.workspace import Workspace, open_workspace, run_stages


@dataclass
class Trainings:
    """Trainings without a network: the nearer the learning rate is to 0.004, the better; three epochs, the last best.

    Attributes:
        before: called with the number of the training before it starts; may raise or return an outcome.
        rates: the learning rates that were trained.
    """

    before: Callable[[int], Outcome | None] = lambda number: None
    rates: list[float] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    pruned: int = 0

    def __call__(
        self, workspace: Workspace, part: Part, folder: Path, goes_on: GoesOn, deadline: float | None
    ) -> Outcome:
        rate = value_at(workspace.config, part, "training.learning_rate" if part == "towers" else "learning_rate")
        self.rates.append(rate)
        self.folders.append(folder)
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text("some")
        outcome = self.before(len(self.rates))
        if outcome is not None:
            return outcome
        values = []
        for share in (0.5, 0.9, 1.0):
            values.append(share * score(rate))
            if not goes_on(values):
                self.pruned += 1
                return Outcome("pruned", values)
        return Outcome("finished", values, best_epoch=3, others={"recall@10/search": 0.1})


def score(rate: float) -> float:
    return 0.5 - abs(rate - 0.004)


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    """A workspace whose stages before the towers and before the reranker are done, with nothing in their files."""
    (tmp_path / "shop").mkdir()
    found = PipelineConfig(name="shop", workspace=tmp_path / "run", source={"kind": "files", "path": tmp_path / "shop"})

    def touch(workspace: Workspace, stage: Any) -> None:
        for path in stage.outputs(workspace):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    empty = tuple(replace(stage, run=lambda workspace, stage=stage: touch(workspace, stage)) for stage in STAGES)
    run_stages(open_workspace(found), empty, "candidates", set())
    return found


SPACE = "towers: {training: {learning_rate: {low: 0.0005, high: 0.008, log: true}}}\nrerank: {dropout: [0.0, 0.2, 0.4]}"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


def study(config: PipelineConfig) -> Path:
    (folder,) = open_workspace(config).root.glob("tune/towers-*")
    return folder


def trials(config: PipelineConfig) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_json(study(config) / "trials.json")["trials"]
    return found


def test_the_config_comes_first_and_the_answer_is_never_worse(config: PipelineConfig, space: Path) -> None:
    trainings = Trainings()
    result = tune(config, "towers", 6, space_file=space, run=trainings)
    assert result.ending == "finished"
    assert trainings.rates[0] == config.towers.training.learning_rate
    assert len(set(trainings.rates)) == 6
    assert all(0.0005 <= rate <= 0.008 for rate in trainings.rates)
    records = trials(config)
    assert [record["present"] for record in records] == [True] + 5 * [False]
    finished = [record for record in records if record["state"] == "finished"]
    best = max(finished, key=lambda record: record["value"])
    assert best["value"] == pytest.approx(score(best["params"]["training.learning_rate"]))
    assert result.report.gain == pytest.approx(best["value"] - score(trainings.rates[0]))
    assert result.report.gain >= 0
    assert best["epochs"] == pytest.approx([0.5 * best["value"], 0.9 * best["value"], best["value"]])
    assert best["others"] == {"recall@10/search": 0.1}


def test_a_trial_is_worth_what_its_training_kept(config: PipelineConfig, space: Path) -> None:
    """The reranker keeps an epoch of its second half, though an earlier one may be luckier."""
    lucky = Trainings(lambda number: Outcome("finished", [0.9, 0.2, 0.3], best_epoch=3) if number == 1 else None)
    result = tune(config, "towers", 2, space_file=space, run=lucky)
    present, other = trials(config)
    assert present["epochs"] == [0.9, 0.2, 0.3]
    assert (present["value"], present["best_epoch"]) == (0.3, 3)
    assert other["value"] == pytest.approx(score(lucky.rates[1]))
    assert result.report.gain == pytest.approx(other["value"] - 0.3)


def test_the_best_config_is_whole_and_differs_in_what_was_searched(config: PipelineConfig, space: Path) -> None:
    result = tune(config, "towers", 6, space_file=space, run=Trainings())
    path = open_workspace(config).root / "tune" / "best-towers.yaml"
    assert result.report.best == path
    best = load_config(path)
    rate = max(
        (record for record in trials(config) if record["state"] == "finished"), key=lambda record: record["value"]
    )["params"]["training.learning_rate"]
    training = config.towers.training.model_copy(update={"learning_rate": rate})
    assert best == config.model_copy(update={"towers": config.towers.model_copy(update={"training": training})})
    assert yaml.safe_load(path.read_text())["name"] == "shop"


def test_only_the_best_folder_stays_and_no_stage_is_touched(config: PipelineConfig, space: Path) -> None:
    root = open_workspace(config).root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    trainings = Trainings()
    tune(config, "towers", 5, space_file=space, run=trainings)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    written = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()} - {
        path.relative_to(root).parts[0] for path in before
    }
    assert written <= {"tune", ".lock"}
    best = max(range(5), key=lambda number: score(trainings.rates[number]))
    assert [path.name for path in study(config).glob("trial-*")] == [f"trial-{best:04d}"]


@pytest.mark.parametrize("name", ["{a}", "a%41", "a?b", "a#b c"])
def test_the_study_lies_in_its_workspace_whatever_that_is_called(
    config: PipelineConfig, space: Path, tmp_path: Path, name: str
) -> None:
    named = config.model_copy(update={"workspace": tmp_path / name / "run"})
    (tmp_path / name).mkdir()
    (tmp_path / "run").rename(tmp_path / name / "run")
    tune(named, "towers", 1, space_file=space, run=Trainings())
    assert (study(named) / "study.db").is_file()


def test_the_same_number_does_nothing_and_a_larger_one_goes_on(config: PipelineConfig, space: Path) -> None:
    whole = Trainings()
    tune(config, "towers", 3, space_file=space, run=whole)
    again = Trainings()
    assert tune(config, "towers", 3, space_file=space, run=again).report.counts == {"finished": 3}
    assert again.rates == []
    tune(config, "towers", 5, space_file=space, run=again)
    assert len(again.rates) == 2
    assert not set(again.rates) & set(whole.rates)
    assert trials(config)[0]["present"]


def test_a_resumed_search_asks_what_an_unbroken_one_asks(config: PipelineConfig, space: Path, tmp_path: Path) -> None:
    unbroken = Trainings()
    tune(config, "towers", 6, space_file=space, run=unbroken)
    shutil.rmtree(study(config))

    def interrupt(number: int) -> None:
        if number in (2, 4):
            raise KeyboardInterrupt

    broken = Trainings(interrupt)
    endings = [tune(config, "towers", 6, space_file=space, run=broken).ending for _ in range(3)]
    assert endings == ["SIGINT", "SIGINT", "finished"]
    assert list(dict.fromkeys(broken.rates)) == unbroken.rates
    assert [record["trial"] for record in trials(config) if record["state"] == "interrupted"] == []
    assert len(trials(config)) == 6


@pytest.mark.parametrize("victim", [1, 2])
def test_a_killed_trial_goes_on_in_its_folder(config: PipelineConfig, space: Path, victim: int) -> None:
    """A process that dies without a word leaves its trial as running: forked, since the child must really die."""
    child = os.fork()
    if not child:
        try:
            tune(config, "towers", 4, space_file=space, run=Trainings(lambda number: kill_at(number, victim)))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    half_done = study(config) / f"trial-{victim - 1:04d}"
    assert half_done.exists()
    trainings = Trainings()
    assert tune(config, "towers", 4, space_file=space, run=trainings).report.counts["finished"] == 4
    assert trainings.folders[0] == half_done
    assert len(trainings.rates) == 4 - (victim - 1)
    assert [record["trial"] for record in trials(config)][:victim] == list(range(victim))
    assert trials(config)[0]["params"]["training.learning_rate"] == config.towers.training.learning_rate


def kill_at(number: int, victim: int) -> None:
    if number == victim:
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_time_left_counts_what_earlier_calls_took(
    config: PipelineConfig, space: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each training takes 600 s of a clock of its own, the second one half of them before it is stopped."""
    now = 0.0
    monkeypatch.setattr("pipelines.tuning.time", SimpleNamespace(monotonic=lambda: now))

    def train(workspace: Workspace, part: Part, folder: Path, goes_on: GoesOn, deadline: float | None) -> Outcome:
        nonlocal now
        stops = now == 600.0
        now += 600.0 if now == 0.0 else 300.0
        goes_on([0.1])
        return Outcome("out_of_time", [0.1]) if stops else Outcome("finished", [0.1], best_epoch=1)

    assert tune(config, "towers", 3, space_file=space, run=train).ending == "out_of_time"
    capfd.readouterr()
    tune(config, "towers", 2, space_file=space, run=train)
    assert "tune: 1 of 2 trials finished; about 10 min left" in capfd.readouterr().err
    assert [record["seconds"] for record in trials(config)] == [600.0, 600.0]


def test_sigterm_leaves_a_study_that_goes_on(config: PipelineConfig, space: Path) -> None:
    def terminate(number: int) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    result = tune(config, "towers", 3, space_file=space, run=Trainings(terminate))
    assert result.ending == "SIGTERM"
    assert result.report.counts == {"finished": 1, "interrupted": 1}
    assert signal.getsignal(signal.SIGTERM) is before
    assert tune(config, "towers", 3, space_file=space, run=Trainings()).report.counts == {"finished": 3}


def test_a_trial_out_of_time_goes_on_in_the_next_call(config: PipelineConfig, space: Path) -> None:
    out = Trainings(lambda number: Outcome("out_of_time", [0.1]) if number == 2 else None)
    result = tune(config, "towers", 3, timeout=60, space_file=space, run=out)
    assert result.ending == "out_of_time"
    trainings = Trainings()
    tune(config, "towers", 3, space_file=space, run=trainings)
    assert trainings.rates[0] == out.rates[1]
    assert trainings.folders[0] == out.folders[1]


def test_failures_are_recorded_and_the_search_goes_on(config: PipelineConfig, space: Path) -> None:
    failing = Trainings(lambda number: Outcome("failed", [], error="the loss is nan") if number in (2, 4) else None)
    result = tune(config, "towers", 4, space_file=space, run=failing)
    assert result.report.counts == {"finished": 4, "failed": 2}
    assert len(failing.rates) == len(set(failing.rates)) == 6
    assert {record["error"] for record in trials(config) if record["state"] == "failed"} == {"the loss is nan"}


def test_failures_in_a_row_stop_with_advice(config: PipelineConfig, space: Path) -> None:
    failing = Trainings(lambda number: Outcome("failed", [], error="out of memory"))
    message = r"3 trials in a row failed, the last one with: out of memory.*tandem run --until towers.*--space"
    with pytest.raises(TandemError, match=message):
        tune(config, "towers", 9, space_file=space, run=failing)
    assert len(failing.rates) == 3
    result = tune(config, "towers", 1, space_file=space, run=Trainings())
    assert result.report.counts == {"failed": 3, "finished": 1}
    assert result.report.gain is None


def test_hopeless_trials_are_pruned_but_never_the_first_epoch(config: PipelineConfig, space: Path) -> None:
    trainings = Trainings()
    result = tune(config, "towers", 9, space_file=space, run=trainings)
    assert trainings.pruned == result.report.counts["pruned"] > 0
    pruned = [record for record in trials(config) if record["state"] == "pruned"]
    assert all(len(record["epochs"]) >= 2 and record["value"] is None for record in pruned)
    assert sum(result.report.counts.values()) == 9


def test_a_reranker_is_not_stopped_in_the_half_of_which_no_epoch_is_kept(config: PipelineConfig, space: Path) -> None:
    space.write_text("rerank: {learning_rate: {low: 0.0005, high: 0.008, log: true}}")
    assert config.rerank.epochs == 16
    assert tune(config, "rerank", 9, space_file=space, run=Trainings()).report.counts == {"finished": 9}
    short = with_values(config, "rerank", {"epochs": 2}, "the test")
    assert tune(short, "rerank", 9, space_file=space, run=Trainings()).report.counts["pruned"] > 0


def test_other_settings_data_and_spaces_are_other_studies(
    config: PipelineConfig, space: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tune(config, "towers", 1, space_file=space, run=Trainings())
    first = study(config)
    wider = config.model_copy(update={"towers": config.towers.model_copy(update={"dim": 32})})
    trainings = Trainings()
    tune(wider, "towers", 1, space_file=space, run=trainings)
    assert len(trainings.rates) == 1
    assert f"{first.name} is a study of other settings; it is left".replace(" ", "") in printed(capfd)
    space.write_text(SPACE.replace("0.008", "0.009"))
    tune(config, "towers", 1, space_file=space, run=trainings)
    assert "isastudyofotherspace" in printed(capfd)
    assert len(list(first.parent.glob("towers-*/study.db"))) == 3
    reranked = config.model_copy(update={"rerank": config.rerank.model_copy(update={"dropout": 0.5})})
    space.write_text(SPACE)
    assert tune(reranked, "towers", 1, space_file=space, run=Trainings()).report.counts == {"finished": 1}
    assert len(list(first.parent.glob("towers-*/study.db"))) == 3


def test_trials_of_other_code_are_another_study(
    config: PipelineConfig, space: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tune(config, "towers", 1, space_file=space, run=Trainings())
    asked = []
    monkeypatch.setattr("pipelines.study.code_digest", lambda module: asked.append(module) or "changed since")
    trainings = Trainings()
    tune(config, "towers", 1, space_file=space, run=trainings)
    assert len(trainings.rates) == 1
    assert asked == ["pipelines.s05_towers"]
    assert "isastudyofothercode" in printed(capfd)


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    """What was printed, without spaces: long paths are broken anywhere."""
    return "".join(capfd.readouterr().err.split())


def test_stages_that_are_not_done_are_named(config: PipelineConfig, space: Path) -> None:
    changed = config.model_copy(update={"features": config.features.model_copy(update={"counter_windows_days": (3,)})})
    told = r"run: features not done for this config, source and version of Tandem; run `tandem run .*--until features"
    with pytest.raises(TandemError, match=told):
        tune(changed, "towers", 1, space_file=space, run=Trainings())
    wider = config.model_copy(update={"towers": config.towers.model_copy(update={"dim": 32})})
    with pytest.raises(TandemError, match=r"towers, candidates not done .*--until candidates"):
        tune(wider, "rerank", 1, space_file=space, run=Trainings())
    (open_workspace(config) / "images" / "embeddings.npy").unlink()
    with pytest.raises(TandemError, match="images not done"):
        tune(config, "towers", 1, space_file=space, run=Trainings())


def test_one_search_a_workspace(config: PipelineConfig, space: Path) -> None:
    def second(number: int) -> None:
        with pytest.raises(TandemError, match="in use by another run"):
            tune(config, "towers", 1, space_file=space, run=Trainings())

    assert tune(config, "towers", 1, space_file=space, run=Trainings(second)).ending == "finished"


def test_a_full_disk_says_that_the_same_command_goes_on(config: PipelineConfig, space: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(number: int) -> None:
        if number == 3:  # from here on there is room for the report's files and not for the study's, which is larger
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, most))

    try:
        with pytest.raises(
            ArtifactError, match=r"study\.db: not a study that can .*make room.*the same command goes on"
        ):
            tune(config, "towers", 5, space_file=space, run=Trainings(fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    trainings = Trainings()
    counts = tune(config, "towers", 5, space_file=space, run=trainings).report.counts
    assert set(counts) <= {"finished", "pruned"}
    assert sum(counts.values()) == 5
    assert len(trainings.rates) == 3  # the third is taken up


def test_a_broken_study_says_what_to_do(config: PipelineConfig, space: Path) -> None:
    tune(config, "towers", 1, space_file=space, run=Trainings())
    (study(config) / "study.db").write_bytes(b"not a database, " * 99)
    with pytest.raises(
        ArtifactError, match=r"study\.db: not a study that can be .*; move .*towers-\w{8} away to begin anew"
    ):
        tune(config, "towers", 1, space_file=space, run=Trainings())


def test_an_error_in_brackets_is_printed_as_it_is(
    config: PipelineConfig, space: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = Trainings(lambda number: Outcome("failed", [], error="[/x] of [batch]") if number == 1 else None)
    assert tune(config, "towers", 1, space_file=space, run=failing).report.gain is None
    assert "[/x] of [batch]" in capfd.readouterr().err


def test_a_space_without_the_part(config: PipelineConfig, space: Path) -> None:
    space.write_text("rerank: {dropout: [0.0, 0.2]}")
    with pytest.raises(ConfigError, match=r"space\.yaml: no section towers; give one, or tune rerank"):
        tune(config, "towers", 1, space_file=space, run=Trainings())


def test_settings_that_do_not_go_together_are_not_trained(config: PipelineConfig, space: Path) -> None:
    space.write_text("towers: {history: {heads: [1, 2, 16]}, dim: [24, 32, 64]}")
    trainings = Trainings()
    result = tune(config, "towers", 10, space_file=space, run=trainings)
    impossible = [record for record in trials(config) if record["state"] == "impossible"]
    assert len(impossible) == result.report.counts["impossible"] > 0
    assert all("history.heads = 16 must divide dim = 24" in record["error"] for record in impossible)
    assert result.report.counts["finished"] + result.report.counts.get("pruned", 0) == 10
    assert len(trainings.rates) <= 8  # nine combinations, one of them impossible


def test_the_same_settings_are_not_trained_again(config: PipelineConfig, space: Path) -> None:
    space.write_text("towers: {dim: [32, 64]}")
    trainings = Trainings()
    result = tune(config, "towers", 6, space_file=space, run=trainings)
    assert len(trainings.rates) == 2
    assert result.report.counts == {"finished": 6}
    assert result.report.table is not None
    assert result.report.table.row_count == 2
    copies = [record for record in trials(config) if record["same_as"] is not None]
    assert len(copies) == 4
    for record in copies:
        assert record["params"] == trials(config)[record["same_as"]]["params"]


def test_what_is_printed(config: PipelineConfig, space: Path) -> None:
    few: Tuning = tune(config, "towers", 2, space_file=space, run=Trainings())
    assert "importance of the settings: not before 5" in " ".join(few.report.lines())
    result = tune(config, "towers", 8, space_file=space, run=Trainings())
    assert result.report.table is not None
    assert result.report.table.row_count == 5
    cells = [list(column.cells) for column in result.report.table.columns]
    present = cells[-1].index("nothing: the config as it is") if "nothing: the config as it is" in cells[-1] else None
    assert present is None or cells[2][present] == "+0.0000"
    assert all(text.startswith("training.learning_rate ") or text.startswith("nothing") for text in cells[-1])
    assert result.report.importance == {"training.learning_rate": 1.0}
    text = " ".join(result.report.lines())
    assert "training.learning_rate 1.00" in text
    assert "best-towers.yaml" in text


def test_nothing_better_is_said(config: PipelineConfig, space: Path) -> None:
    best = config.towers.training.model_copy(update={"learning_rate": 0.004})
    tuned = config.model_copy(update={"towers": config.towers.model_copy(update={"training": best})})
    result = tune(tuned, "towers", 3, space_file=space, run=Trainings())
    assert result.report.gain == 0
    assert "nothing beat the config as it is" in " ".join(result.report.lines())
    assert load_config(open_workspace(tuned).root / "tune" / "best-towers.yaml") == tuned
