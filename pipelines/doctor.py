"""`tandem doctor`: examine a running server and say what to do; exit code 1 when something fails.

tandem doctor 127.0.0.1:8500 --models saved_models
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from catalog.errors import ArtifactError
from catalog.files import read_json
from catalog.progress import console, output_console
from pipelines.publish import Release, latest_release
from serving.doctor import Released, Standards, examine
from serving.findings import Finding, as_json, passed
from serving.probe_channel import open_channel, read_tls

_RECALL_NOISE = 0.02
"""Below the index's target: the target was met on the tuning's queries, these are others."""

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}


def run_doctor(
    address: str,
    models: Path | None,
    standards: Standards,
    tls: tuple[Path | None, Path | None, Path | None] = (None, None, None),
    as_text: bool = True,
) -> bool:
    """Examine the server at `address` and print what was found.

    Args:
        address: host:port of gRPC.
        models: the folder of releases, for its sample requests, its age and its recall target.
        standards: what the server is held to.
        tls: files of the CA, the client's certificate and its key.
        as_text: a table on a terminal, else one line of JSON.

    Returns:
        Whether nothing failed.

    Raises:
        ArtifactError, ConfigError: when the folder or a TLS file cannot be read.
    """
    samples: list[dict[str, Any]] = []
    released = None
    if models is not None:
        release = latest_release(models)
        samples = read_json(release.folder / "sample_requests.json")
        released = Released(release.version, _snapshots(models))
        standards = replace(standards, recall=_recall_target(release, standards.recall))
    with open_channel(address, read_tls(*tls)) as channel:
        findings = examine(channel, standards, samples, released)
    if as_text:
        output_console().print(findings_table(findings, address))
    else:
        print(json.dumps({"address": address, **as_json(findings)}))
    return passed(findings)


def findings_table(findings: list[Finding], address: str) -> Table:
    """Findings as a table; advice stands under what it is about."""
    table = Table(title=f"tandem doctor {escape(address)}", title_justify="left", show_lines=False)
    for name in ("check", "about", "", "found"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.status]
        found = escape(finding.detail) + (f"\n[bold]{escape(finding.advice)}[/bold]" if finding.advice else "")
        table.add_row(finding.check, finding.subject, f"[{colour}]{finding.status}[/{colour}]", found)
    return table


def _snapshots(models: Path) -> dict[int, int]:
    """When the catalogue of each release that is still there was taken."""
    snapshots = {}
    for folder in (models / "releases").iterdir():
        if folder.name.isdigit():
            try:
                manifest = Release(models, int(folder.name)).manifest()
                snapshots[int(folder.name)] = int(manifest["snapshot"]["timestamp"])
            except (ArtifactError, KeyError) as error:
                console.print(f"{folder}: left out, its manifest cannot be read: {error}")
    return snapshots


def _recall_target(release: Release, default: float) -> float:
    """What the release's index was tuned to, less the noise; the default where its manifest does not say."""
    target = release.manifest().get("config", {}).get("index", {}).get("recall_target")
    return default if target is None else max(0.0, float(target) - _RECALL_NOISE)
