"""Logs as text or as one JSON object a line. What clients send is never in them."""

import json
import logging
import traceback
from datetime import UTC, datetime

from serving.call_record import Call
from serving.server_config import LogFormat

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_requests = logging.getLogger("serving.requests")


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, and what the line brings as `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = where_it_failed(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def configure_logging(log_format: LogFormat) -> None:
    """Log from INFO on to stderr in the given form; replaces what was set before."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def where_it_failed(error: BaseException) -> str:
    """An error's type and the places in the code it went through; its text may quote what a client sent."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return " > ".join([*places, type(error).__name__])


def log_call(call: Call) -> None:
    """The line of one request: what was called and how it went, no inputs and no outputs."""
    milliseconds = round((call.finished - call.queued) * 1000, 3)
    fields: dict[str, object] = {
        "entrypoint": call.entrypoint,
        "api": call.api,
        "model": call.model,
        "status": call.status,
        "milliseconds": milliseconds,
    }
    if call.run_ended:
        fields["run_milliseconds"] = round((call.run_ended - call.run_began) * 1000, 3)
    trace = ""
    if call.traceparent:
        _, trace_id, span_id, _ = call.traceparent.split("-")
        fields |= {"traceparent": call.traceparent, "trace_id": trace_id, "parent_span_id": span_id}
        trace = f" traceparent {call.traceparent}"
    text = f"{call.entrypoint} {call.api} {call.model or '-'} {call.status} {milliseconds} ms{trace}"
    _requests.info("%s", text, extra={"fields": fields})
