"""W3C trace context: the trace that a client is in, and a span in it where opentelemetry-api is installed."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from serving.call_record import Call

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

# version-trace_id-parent_id-flags; all zeros are no id, and versions after 00 may append to it
_FORM = re.compile(r"((?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?", re.DOTALL)


def read_traceparent(value: str) -> str:
    """A `traceparent` as far as it is understood; empty if it is none, which is then ignored as the standard asks."""
    match = _FORM.fullmatch(value.strip())
    if match is None or (match[2] and value.startswith("00")):
        return ""
    return match[1]


@contextmanager
def span(call: Call, tracestate: str = "") -> Iterator[None]:
    """Work inside a server span of the client's trace, where it brought one and opentelemetry-api is there.

    Args:
        call: what is worked on.
        tracestate: what vendors added to its trace, as the client sent it.
    """
    opentelemetry = _opentelemetry() if call.traceparent else None
    if opentelemetry is None:
        yield
        return
    trace, propagate = opentelemetry
    carrier = {TRACEPARENT: call.traceparent} | ({TRACESTATE: tracestate} if tracestate else {})
    started = trace.get_tracer("tandem.serving").start_as_current_span(
        f"{call.entrypoint} {call.api}",
        context=propagate.extract(carrier),
        kind=trace.SpanKind.SERVER,
        record_exception=False,  # its text may quote what the client sent
        set_status_on_exception=False,
    )
    with started as current:
        try:
            yield
        except BaseException:
            current.set_status(trace.StatusCode.ERROR)
            raise
        finally:
            current.set_attribute("tandem.model", call.model)


@cache
def _opentelemetry() -> tuple[Any, Any] | None:
    if importlib.util.find_spec("opentelemetry") is None:
        return None
    return importlib.import_module("opentelemetry.trace"), importlib.import_module("opentelemetry.propagate")
