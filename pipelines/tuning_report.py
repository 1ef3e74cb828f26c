"""What a study has found: a table, the trials as JSON, and the best trial as a config that `tandem run` takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import TrialState
from rich.table import Table

from catalog.files import atomic_path, write_json
from pipelines.search_space import Part, with_values
from pipelines.trial import PARTS
from pipelines.workspace import Workspace

_SHOWN = 5
_LEAST_FOR_IMPORTANCE = 5  # whole trainings; fewer say nothing of a dozen settings
_IMPORTANT = 6
_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "interrupted",
}


@dataclass(frozen=True)
class Report:
    """The findings of a study so far.

    Attributes:
        counts: trials by how they ended.
        table: the best trials, None before the first one has finished.
        importance: setting -> share of what the settings explain of the metric, most important first.
        best: the file with the best trial's config, None before the first one has finished.
        gain: the best value above that of the config as it is; None when that failed or has not finished.
    """

    counts: dict[str, int]
    table: Table | None
    importance: dict[str, float]
    best: Path | None
    gain: float | None

    def lines(self) -> Iterable[str]:
        """The findings in words, without the table."""
        yield "trials: " + (", ".join(f"{count} {state}" for state, count in self.counts.items()) or "none")
        if self.importance:
            shares = [f"{name} {share:.2f}" for name, share in list(self.importance.items())[:_IMPORTANT]]
            yield f"importance of the settings: {', '.join(shares)}"
        elif self.best is not None:
            yield f"importance of the settings: not before {_LEAST_FOR_IMPORTANCE} trials have finished whole"
        if self.best is None:
            yield "no trial has finished yet"
        elif self.gain == 0:
            yield f"nothing beat the config as it is; {self.best} holds it"
        else:
            yield (
                "Chosen on the validation days, with one seed: train the best with another seed before a small "
                f"difference is believed, and let `tandem run --config {self.best}` judge it on the test days."
            )


def trial_number(trial: Any) -> int:
    """A trial's number, which it keeps when it is taken up again."""
    return int(trial.user_attrs.get("first", trial.number))


def best_first(trials: Iterable[Any]) -> list[Any]:
    """The trainings that finished whole, best first, the earlier one of equals."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE and "same_as" not in trial.user_attrs]
    return sorted(complete, key=lambda trial: (-trial.value, trial_number(trial)))


def differences(values: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Setting and value, for every value that is not the config's."""
    return [f"{name} {_short(value)}" for name, value in values.items() if value != present[name]]


def write_report(study: Any, workspace: Workspace, part: Part, present: Mapping[str, Any], folder: Path) -> Report:
    """Write trials.json into the study's folder and best-<part>.yaml beside it; both only say what the study holds."""
    trials = [trial for trial in study.get_trials() if not _taken_up(trial)]
    ranked = best_first(trials)
    importance = _importance(study) if len(ranked) >= _LEAST_FOR_IMPORTANCE else {}
    records = [_record(trial) for trial in sorted(trials, key=trial_number)]
    counts: dict[str, int] = {}
    for record in records:
        counts[record["state"]] = counts.get(record["state"], 0) + 1
    write_json(
        folder / "trials.json",
        {
            "part": part,
            "metric": PARTS[part].metric,
            "present": dict(present),
            "importance": importance,
            "trials": records,
        },
    )
    if not ranked:
        return Report(counts, None, {}, None, None)
    best = workspace / "tune" / f"best-{part}.yaml"
    _write_config(best, workspace, part, ranked[0], folder)
    base = next((trial.value for trial in ranked if trial.user_attrs.get("present")), None)
    gain = None if base is None else ranked[0].value - base
    return Report(counts, _table(ranked, part, present, base), importance, best, gain)


def _taken_up(trial: Any) -> bool:
    """Whether a trial was stopped half-way and stands in the study a second time."""
    return trial.state is TrialState.FAIL and "error" not in trial.user_attrs


def _state(trial: Any) -> str:
    if trial.state is TrialState.PRUNED and "error" in trial.user_attrs:
        return "impossible"
    return _STATES.get(trial.state, "failed")


def _record(trial: Any) -> dict[str, Any]:
    return {
        "trial": trial_number(trial),
        "state": _state(trial),
        "value": trial.value if trial.state is TrialState.COMPLETE else None,
        "same_as": trial.user_attrs.get("same_as"),
        "present": bool(trial.user_attrs.get("present")),
        "params": trial.params,
        "epochs": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
        "best_epoch": trial.user_attrs.get("best_epoch") or None,
        "others": trial.user_attrs.get("others", {}),
        "seconds": trial.user_attrs.get("seconds"),
        "error": trial.user_attrs.get("error"),
    }


def _importance(study: Any) -> dict[str, float]:
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 2:
        return {}
    return {name: float(share) for name, share in optuna.importance.get_param_importances(study).items()}


def _table(ranked: list[Any], part: Part, present: Mapping[str, Any], base: float | None) -> Table:
    table = Table(title=f"{part}: the best trials by {PARTS[part].metric} on the validation days")
    for name in ("trial", "value", "against the config", "epoch", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("what differs from the config", overflow="fold")
    for trial in ranked[:_SHOWN]:
        table.add_row(
            str(trial_number(trial)),
            f"{trial.value:.4f}",
            "" if base is None else f"{trial.value - base:+.4f}",
            str(trial.user_attrs["best_epoch"]),
            f"{trial.user_attrs.get('seconds', 0):.0f}",
            ", ".join(differences(trial.params, present)) or "nothing: the config as it is",
        )
    return table


def _write_config(path: Path, workspace: Workspace, part: Part, trial: Any, folder: Path) -> None:
    config = with_values(workspace.config, part, trial.params, f"trial {trial_number(trial)}")
    head = (
        f"# The best of the study {folder.name}: trial {trial_number(trial)}, with {PARTS[part].metric} "
        f"{trial.value:.4f} on the validation days.\n#   tandem run --config {path}\n"
    )
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with atomic_path(path) as temporary:
        temporary.write_text(head + text, encoding="utf-8")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
