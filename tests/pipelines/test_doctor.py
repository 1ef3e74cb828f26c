"""`tandem doctor`: what it reads from the releases, prints and exits with."""

import io
import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from rich.console import Console
from typer.testing import CliRunner

import pipelines.doctor
from catalog.errors import ArtifactError
from pipelines.cli import app
from pipelines.doctor import findings_table, run_doctor
from serving.doctor import Released, Standards
from serving.findings import Finding
from serving.messages import ModelServiceServicer, add_ModelServiceServicer_to_server

NOBODY = "127.0.0.1:1"


def write_release(models: Path, version: int, recall: float | None = None) -> None:
    folder = models / "releases" / str(version)
    folder.mkdir(parents=True)
    (models / "search" / str(version)).mkdir(parents=True)
    manifest: dict[str, Any] = {"name": "shop", "snapshot": {"timestamp": 1000 * version}}
    if recall is not None:
        manifest["config"] = {"index": {"recall_target": recall}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "sample_requests.json").write_text(json.dumps([{"query": f"of {version}"}]))


@pytest.fixture
def empty_server() -> Iterator[str]:
    """A server with ModelService that knows no model."""

    class Knowing(ModelServiceServicer):
        def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model")

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_ModelServiceServicer_to_server(Knowing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_failure_is_exit_code_1_and_advice() -> None:
    result = CliRunner().invoke(app, ["doctor", NOBODY])
    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.output
    assert "Is a server started" in result.output


def test_json_is_one_line_with_the_verdict(empty_server: str) -> None:
    result = CliRunner().invoke(app, ["doctor", empty_server, "--json"])
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert (document["address"], document["ok"]) == (empty_server, False)
    assert [each["check"] for each in document["findings"]] == ["reachable", "health", "served"]


def test_success_is_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.doctor, "examine", lambda *given: [Finding("reachable", "server", "ok", "fine")])
    assert CliRunner().invoke(app, ["doctor", NOBODY]).exit_code == 0


def test_the_newest_release_gives_samples_snapshots_and_the_recall_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path, 3)
    write_release(tmp_path, 10, recall=0.9)
    given: list[Any] = []

    def record(*arguments: Any) -> list[Finding]:
        given.extend(arguments)
        return []

    monkeypatch.setattr(pipelines.doctor, "examine", record)
    assert not run_doctor(NOBODY, tmp_path, Standards(calls=7))  # no finding is no pass
    _, standards, samples, released = given
    assert standards == Standards(calls=7, recall=pytest.approx(0.88))
    assert samples == [{"query": "of 10"}]
    assert released == Released(10, {3: 3000, 10: 10_000})


def test_a_folder_without_release_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no release"):
        run_doctor(NOBODY, tmp_path, Standards())


def test_the_table_shows_advice_and_no_markup_of_others() -> None:
    output = io.StringIO()
    finding = Finding("served", "search", "failure", "broken [red]file[/red]", "Copy it again.")
    Console(file=output, width=120).print(findings_table([finding], "host:1"))
    text = output.getvalue()
    assert "broken [red]file[/red]" in text
    assert "Copy it again." in text
    assert "failure" in text
