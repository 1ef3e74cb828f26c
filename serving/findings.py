"""What a check of a running server found, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

SERVER = "server"
"""Subject of what is about no single model."""

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One check's result.

    Attributes:
        check: what was looked at.
        subject: the model it is about, or the server.
        status: ok, warning (worth knowing), failure (the server should not take traffic like this).
        detail: what was seen.
        advice: what to do; empty when it is ok.
        numbers: what was measured, by name with its unit.
    """

    check: str
    subject: str
    status: Status
    detail: str
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def passed(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed; warnings are no failures."""
    return bool(findings) and all(finding.status != "failure" for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings as plain values, with the verdict."""
    return {"ok": passed(findings), "findings": [asdict(finding) for finding in findings]}
