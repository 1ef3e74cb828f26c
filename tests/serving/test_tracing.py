"""W3C trace context, and spans where opentelemetry-api is there: a stand-in of its API takes notes here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from serving import tracing
from serving.call_record import Call
from serving.tracing import read_traceparent, span

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (TRACE, TRACE),
        (f" {TRACE} ", TRACE),
        ("01" + TRACE[2:] + "-more", "01" + TRACE[2:]),
        (TRACE + "-more", ""),
        ("ff" + TRACE[2:], ""),
        (TRACE.upper(), ""),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", ""),
        (TRACE + "\nx", ""),
        ("", ""),
    ],
)
def test_what_is_a_traceparent(value: str, read: str) -> None:
    assert read_traceparent(value) == read


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What is asked of OpenTelemetry, in order."""
    notes: list[Any] = []
    current = SimpleNamespace(
        set_status=lambda status: notes.append(("status", status)),
        set_attribute=lambda name, value: notes.append((name, value)),
    )

    @contextmanager
    def start(name: str, **settings: Any) -> Iterator[Any]:
        notes.append((name, settings["context"], settings["kind"], settings["record_exception"]))
        yield current

    package, trace, propagate = (ModuleType(f"opentelemetry{name}") for name in ("", ".trace", ".propagate"))
    package.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # what find_spec looks at
    trace.SpanKind = SimpleNamespace(SERVER="server")  # type: ignore[attr-defined]
    trace.StatusCode = SimpleNamespace(ERROR="error")  # type: ignore[attr-defined]
    trace.get_tracer = lambda name: SimpleNamespace(start_as_current_span=start)  # type: ignore[attr-defined]
    propagate.extract = lambda carrier: carrier["traceparent"] + carrier.get("tracestate", "")  # type: ignore[attr-defined]
    for module in (package, trace, propagate):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    tracing._opentelemetry.cache_clear()
    yield notes
    tracing._opentelemetry.cache_clear()


def test_a_call_with_a_trace_runs_in_a_span_of_it(notes: list[Any]) -> None:
    with span(Call(entrypoint="GRPC", api="Predict", model="m", traceparent=TRACE)):
        notes.append("work")
    assert notes == [("GRPC Predict", TRACE, "server", False), "work", ("tandem.model", "m")]


def test_what_vendors_added_to_the_trace_comes_along(notes: list[Any]) -> None:
    with span(Call(entrypoint="REST", api="request", traceparent=TRACE), "a=b"):
        pass
    assert notes[0] == ("REST request", TRACE + "a=b", "server", False)


def test_a_call_that_fails_says_so_to_its_span(notes: list[Any]) -> None:
    with pytest.raises(KeyError), span(Call(entrypoint="REST", api="predict", traceparent=TRACE)):
        raise KeyError
    assert notes[1:] == [("status", "error"), ("tandem.model", "")]


def test_without_a_trace_there_is_no_span(notes: list[Any]) -> None:
    with span(Call(entrypoint="GRPC", api="Predict")):
        notes.append("work")
    assert notes == ["work"]
