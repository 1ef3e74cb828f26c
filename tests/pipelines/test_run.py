"""The stages' order and what each must leave behind."""

from pathlib import Path
from typing import Any

from pipelines.run import STAGES


def test_a_report_is_made_again_when_any_part_of_it_is_gone() -> None:
    folder: Any = Path("run")
    (stage,) = (stage for stage in STAGES if stage.name == "evaluate")
    assert {path.name for path in stage.outputs(folder)} == {"report.json", "report.html", "projector"}
