"""Progress never changes what is iterated over."""

import pytest

from catalog import progress


def test_items_come_through_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(progress.track([3, 1, 2], "work")) == [3, 1, 2]
    assert list(progress.track(iter([1, 2]), "work", total=2)) == [1, 2]


def test_a_log_gets_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_LOG_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    with progress.console.capture() as captured:
        list(progress.track([1, 2], "embedding"))
    assert "embedding: 1/2" in captured.get()
    assert "embedding: 2/2" in captured.get()
