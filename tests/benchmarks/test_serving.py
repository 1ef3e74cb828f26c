"""The highest rate that is kept, and the whole benchmark on a server that answers at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.serving
from benchmarks.load import Load
from benchmarks.serving import highest_rate, main
from tests.benchmarks.made_up_server import Echo, answering


class Machine:
    """Answers in 10 ms up to `most` requests a second and in 30 ms above; `failing` from that rate on.

    Attributes:
        tried: the rates, in order.
    """

    def __init__(self, most: float, failing: float = float("inf")) -> None:
        self.tried: list[float] = []
        self._most, self._failing = most, failing

    def __call__(self, rate: float) -> Load:
        self.tried.append(rate)
        milliseconds = 10.0 if rate <= self._most else 30.0
        return Load(np.full(100, milliseconds / 1000), elapsed=1.0, failed=int(rate >= self._failing))


def test_the_highest_rate_is_found_by_bisection_from_the_lowest() -> None:
    machine = Machine(150.0)
    # Between 100 and 420: 260, 180 and 140 first, of which 140 is kept; then 160, which is not, and 150, which is.
    assert highest_rate(machine, 100.0, 420.0) == 150.0
    assert machine.tried == [100.0, 260.0, 180.0, 140.0, 160.0, 150.0]


def test_a_server_that_keeps_the_lowest_rate_alone() -> None:
    assert highest_rate(Machine(101.0), 100.0, 420.0) == 100.0


def test_a_lowest_rate_that_is_too_much_is_no_rate() -> None:
    machine = Machine(99.0)
    assert highest_rate(machine, 100.0, 420.0) is None
    assert machine.tried == [100.0]


def test_a_rate_at_which_a_request_fails_is_not_kept() -> None:
    assert highest_rate(Machine(420.0, failing=180.0), 100.0, 420.0) == 170.0


class Given:
    """Takes the place of what needs a release: one request, and 400 batches of 16 a second in process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
        self.stopped = 0
        (folder / "releases" / "3").mkdir(parents=True)
        (folder / "releases" / "3" / "sample_requests.json").write_text("[{}]")
        in_process = {1: np.full(10, 0.002), 16: np.full(10, 0.0025)}
        for name, value in (
            ("fashion_release", lambda *given: 3),
            ("in_process", lambda *given: (None, in_process)),
            ("requests_of", lambda *given: [b"request"]),
            ("start_server", lambda *given: (address, self.stop)),
            ("check", lambda *given: None),
            ("_WARM_UP_SECONDS", 0.05),
        ):
            monkeypatch.setattr(benchmarks.serving, name, value)
        folders = ["--models-dir", str(folder), "--out", str(folder / "out.json")]
        monkeypatch.setattr("sys.argv", ["serving", *folders, "--clients", "1", "2", "--seconds", "0.1"])

    def stop(self) -> None:
        self.stopped += 1


def test_what_is_measured_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(Echo()) as address:
        given = Given(monkeypatch, address, tmp_path)
        main()
    printed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "out.json").read_text())
    rows = {"in_process_1", "in_process_16", "request_of_1", "request_of_16", "1", "2", "2_unbatched"}
    assert set(printed["qps"]) == set(printed["p50_ms"]) == set(printed["p99_ms"]) == rows
    assert printed["qps"]["in_process_16"] == 6400.0  # 10 runs of 16 rows in 25 ms
    assert printed["p50_ms"]["in_process_1"] == 2.0
    assert set(printed["same_batch_over_in_process"]) == {"1", "16"}
    assert printed["served_over_in_process"] == pytest.approx(6400.0 / printed["qps"]["2"], abs=1e-3)
    # The lowest rate is of what the clients got, not of what the graph does in process.
    assert printed["open_loop_from"] == pytest.approx(0.25 * max(printed["qps"]["1"], printed["qps"]["2"]), abs=0.1)
    assert given.stopped == 2


def test_a_rate_that_is_too_much_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks.serving, "open_loop", lambda *given: Load(np.full(9, 0.03), elapsed=1.0))
    with answering(Echo()) as address:
        Given(monkeypatch, address, tmp_path)
        main()
    told, last = capsys.readouterr().out.splitlines()[-2:]
    printed = json.loads(last)
    assert printed["qps_at_p99_25ms"] is None
    assert told == f"open loop: below {printed['open_loop_from']:.0f} requests a second at a p99 under 25 ms"
