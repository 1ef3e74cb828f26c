"""Search the settings of one part on the validation days: studies, trials, resuming.

    tandem tune --config pipelines/configs/demo.yaml --part towers --trials 20

A study is one SQLite file under runs/<name>/tune/, of one config, one state of the data, one search space and one state
of the code. Reads the workspace's finished stages, never changes them, and never looks at the test days or at a
simulator's truth.
"""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from rich.markup import escape
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from catalog.errors import ArtifactError, ConfigError, TandemError
from catalog.progress import console
from pipelines.config import PipelineConfig
from pipelines.run import STAGES
from pipelines.search_space import Part, Range, Space, value_at, with_values
from pipelines.study import searched_space, study_folder
from pipelines.trial import PARTS, GoesOn, Outcome, run_trial
from pipelines.tuning_report import Report, best_first, differences, trial_number, write_report
from pipelines.workspace import Workspace, finished_inputs, open_workspace

Run = Callable[[Workspace, Part, Path, GoesOn, float | None], Outcome]
Ending = Literal["finished", "out_of_time", "SIGINT", "SIGTERM"]

_FAILURES = 3  # in a row, after which the space is more likely at fault than chance
_IMPOSSIBLE = 100  # in a row
_COMPARED = 4  # whole trainings, before others are measured against their median
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Tuning:
    """What came of a search: its tables and files, and why it ended."""

    report: Report
    ending: Ending


def tune(
    config: PipelineConfig,
    part: Part,
    trials: int,
    timeout: float | None = None,
    space_file: Path | None = None,
    run: Run = run_trial,
) -> Tuning:
    """Go on with this config's study until `trials` of its trials are finished, or for `timeout` seconds.

    Args:
        config: the run's configuration; its values are the first trial.
        trials: finished trials in total, those of earlier calls included; a failed one is not finished.
        space_file: another search space than the part's own.
        run: trains one trial.

    Raises:
        ConfigError: for a space that cannot be searched.
        ArtifactError: when the study's file cannot be read or written.
        TandemError: when an earlier stage is not done, another run holds the workspace or trials keep failing.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    workspace = open_workspace(config)
    with workspace.locked(), _terminations_as_interrupts() as signals:
        inputs = finished_inputs(workspace, STAGES, part)
        space = searched_space(workspace, part, space_file)
        folder = study_folder(workspace, part, space, inputs)
        with _failures_of(folder / "study.db"):
            search = _Search(workspace, part, space, folder, run)
            ending: Ending = "finished"
            try:
                if not search.go_on(trials, deadline):
                    ending = "out_of_time"
            except KeyboardInterrupt:
                ending = "SIGTERM" if signals else "SIGINT"
            finally:
                report = search.report()
    return Tuning(report, ending)


class _Search:
    """One study and the trials that are still to come.

    Args:
        workspace: whose config is the first trial.
        part: what is tuned.
        space: what is searched, the config's present values in it.
        folder: of the study.
        run: trains one trial.
    """

    def __init__(self, workspace: Workspace, part: Part, space: Space, folder: Path, run: Run) -> None:
        self.workspace, self.part, self.space, self.folder, self.run = workspace, part, space, folder, run
        self.present = {name: value_at(workspace.config, part, name) for name in space}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study: Any = _open_study(folder / "study.db", workspace.config, part)

    def go_on(self, trials: int, deadline: float | None) -> bool:
        """Train until `trials` are finished; returns False when the time is up before.

        Raises:
            TandemError: when several trials in a row failed.
        """
        self._take_up()
        failures, impossible = 0, 0
        if (before := len(self._finished())) >= trials:
            console.print(f"tune: {before} of {trials} trials were finished before; a larger --trials goes on")
        while (done := len(spent := self._finished())) < trials:
            left = f"; about {sum(spent) / done * (trials - done) / 60:.0f} min left" if done else ""
            console.print(f"[bold]tune: {done} of {trials} trials finished{left}[/bold]")
            outcome = self._one(deadline)
            if outcome.kind == "out_of_time":
                return False
            impossible = impossible + 1 if outcome.kind == "impossible" else 0
            if impossible == _IMPOSSIBLE:
                raise ConfigError(
                    f"{impossible} trials in a row asked for the impossible: {outcome.error}; mend --space"
                )
            failures = failures + 1 if outcome.kind == "failed" else 0
            if failures == _FAILURES:
                raise TandemError(
                    f"{failures} trials in a row failed, the last one with: {outcome.error}. If `tandem run --until "
                    f"{self.part}` fails too, mend that first; else give --space a file with narrower "
                    "ranges: lower learning rates for a loss that is no number, smaller sizes for memory. The same "
                    "command goes on"
                )
        return True

    def report(self) -> Report:
        """Write and return what the study has found so far."""
        return write_report(self.study, self.workspace, self.part, self.present, self.folder)

    def _finished(self) -> list[float]:
        """Seconds of each finished trial, of this call and of earlier ones."""
        trials = self.study.get_trials(deepcopy=False, states=_FINISHED)
        return [trial.user_attrs["seconds"] for trial in trials if "error" not in trial.user_attrs]

    def _take_up(self) -> None:
        """Queue again what a stopped search left half-way; queue the config's own values in a new study."""
        waiting = [trial_number(trial) for trial in self.study.get_trials(states=(TrialState.WAITING,))]
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if trial_number(trial) not in waiting:
                attributes = {"first": trial.number, **trial.user_attrs}
                params = self.present if attributes.get("present") else trial.params
                self.study.enqueue_trial(params, user_attrs=attributes)
            self.study.tell(trial.number, state=TrialState.FAIL)
        if not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(self.present, user_attrs={"present": True})
        self._tidy()

    def _one(self, deadline: float | None) -> Outcome:
        """Ask for one trial, train it, and record how it ended; one that is out of time is left to be taken up."""
        self.study.sampler = self._sampler()
        trial = self.study.ask()
        values = {name: self._suggest(trial, name) for name in self.space}
        number = trial_number(trial)
        changes = differences(values, self.present)
        console.print(f"tune: trial {number}: {', '.join(changes) or 'the config as it is'}")
        started = time.monotonic() - trial.user_attrs.get("seconds", 0.0)  # what a stopped trial took before counts
        outcome = self._train(trial, values, self.folder / f"trial-{number:04d}", deadline, started)
        if outcome.kind == "out_of_time":
            console.print(f"tune: the time is up; trial {number} goes on after its last whole epoch")
            return outcome
        _note_seconds(trial, started)
        trial.set_user_attr("best_epoch", outcome.best_epoch)
        trial.set_user_attr("others", outcome.others)
        if outcome.kind in ("failed", "impossible"):
            trial.set_user_attr("error", outcome.error)
            # What was pruned before its first epoch is the worst there is to the sampler; of failures it knows nothing.
            self.study.tell(trial, state=TrialState.FAIL if outcome.kind == "failed" else TrialState.PRUNED)
            console.print(f"[yellow]tune: trial {number} {outcome.kind}: {escape(outcome.error)}[/yellow]")
        elif outcome.kind == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
            console.print(f"tune: trial {number} stopped after epoch {len(outcome.values)}: others were better there")
        else:
            self.study.tell(trial, outcome.value)
            best = best_first(self.study.get_trials(deepcopy=False))[0]
            console.print(
                f"tune: trial {number}: {PARTS[self.part].metric} {outcome.value:.4f}; best so far "
                f"{best.value:.4f}, trial {trial_number(best)}"
            )
        self._tidy()
        return outcome

    def _train(
        self, trial: Any, values: dict[str, Any], folder: Path, deadline: float | None, started: float
    ) -> Outcome:
        try:
            config = with_values(self.workspace.config, self.part, values, f"trial {trial.number}")
        except ConfigError as error:
            return Outcome("impossible", [], error=str(error))
        if (twin := self._twin(values)) is not None:
            console.print(f"tune: trial {trial_number(twin)} was the same; it is not trained again")
            trial.set_user_attr("same_as", trial_number(twin))
            epochs = [twin.intermediate_values[epoch] for epoch in sorted(twin.intermediate_values)]
            whole = twin.state is TrialState.COMPLETE
            best_epoch, others = twin.user_attrs["best_epoch"], twin.user_attrs["others"]
            return Outcome("finished" if whole else "pruned", epochs, best_epoch, others)
        reported = 0

        def goes_on(metric: list[float]) -> bool:
            nonlocal reported
            for epoch, value in enumerate(metric[reported:], start=reported + 1):
                trial.report(value, epoch)
            reported = len(metric)
            _note_seconds(trial, started)
            return bool(trial.user_attrs.get("present") or not trial.should_prune())

        outcome = self.run(Workspace(config, self.workspace.root), self.part, folder, goes_on, deadline)
        if outcome.kind == "finished" and len(outcome.values) > reported:  # taken up after its last epoch
            goes_on(outcome.values)
        return outcome

    def _twin(self, values: dict[str, Any]) -> Any:
        """The earlier trial of the same settings, which has the same seed too; None when there is none."""
        trials = self.study.get_trials(deepcopy=False, states=_FINISHED)
        return next((trial for trial in trials if trial.params == values), None)

    def _suggest(self, trial: Any, name: str) -> Any:
        dimension = self.space[name]
        if not isinstance(dimension, Range):
            return trial.suggest_categorical(name, dimension.values)
        whole = isinstance(dimension.low, int) and isinstance(dimension.high, int)
        suggest = trial.suggest_int if whole else trial.suggest_float
        return suggest(name, dimension.low, dimension.high, log=dimension.log)

    def _sampler(self) -> Any:
        """Seeded anew by how far the study is, so that a resumed search asks what an unbroken one would have asked."""
        trials = self.study.get_trials(deepcopy=False)
        settled = sum(trial.state in _FINISHED or "error" in trial.user_attrs for trial in trials)
        return optuna.samplers.TPESampler(seed=1000 * getattr(self.workspace.config, self.part).seed + settled)

    def _tidy(self) -> None:
        """Remove the folders of trials, but for the best one's and those that are to go on."""
        trials = self.study.get_trials(deepcopy=False)
        unfinished = [trial for trial in trials if trial.state in (TrialState.WAITING, TrialState.RUNNING)]
        names = {f"trial-{trial_number(trial):04d}" for trial in (*best_first(trials)[:1], *unfinished)}
        for folder in self.folder.glob("trial-*"):
            if folder.name not in names:
                shutil.rmtree(folder)


def _note_seconds(trial: Any, started: float) -> None:
    trial.set_user_attr("seconds", round(time.monotonic() - started, 1))


def _open_study(path: Path, config: PipelineConfig, part: Part) -> Any:
    """The study in a file, new when the file is not there."""
    return optuna.create_study(
        storage=str(URL.create("sqlite", database=str(path.resolve()))),  # with %, ? and {} of the path escaped
        study_name=part,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(_COMPARED, n_warmup_steps=PARTS[part].spared(config) + 1),
        load_if_exists=True,
    )


@contextmanager
def _failures_of(path: Path) -> Iterator[None]:
    """Say what to do about a study's file that cannot be read or written."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        problem = str(error.__cause__ or error).splitlines()[0]
        if any(words in problem for words in ("disk is full", "disk I/O error", "locked", "readonly")):
            remedy = "make room on the disk and let nothing else hold the file; the same command goes on"
        else:
            remedy = f"move {path.parent} away to begin anew"
        raise ArtifactError(f"{path}: not a study that can be read and written ({problem}); {remedy}") from error


@contextmanager
def _terminations_as_interrupts() -> Iterator[list[int]]:
    """SIGTERM ends a search as Ctrl-C does; gives the list that it is noted in."""
    received: list[int] = []

    def interrupt(number: int, _: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, previous)
