import json
import logging

import pytest

from serving.call_record import Call
from serving.logs import JsonFormatter, log_call, where_it_failed

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


def test_a_line_is_one_object() -> None:
    record = logging.LogRecord("serving.x", logging.WARNING, "x.py", 1, "two\nlines of %s", ("红",), None)
    line = line_of(record)
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "serving.x", "two\nlines of 红")
    assert str(line["time"]).endswith("+00:00")


def test_an_error_is_a_place_and_no_text() -> None:
    with pytest.raises(ValueError, match="sent") as raised:
        raise ValueError("what the client sent")
    assert where_it_failed(raised.value).endswith("test_an_error_is_a_place_and_no_text > ValueError")
    failure = (ValueError, raised.value, raised.tb)
    record = logging.LogRecord("serving.x", logging.ERROR, "x.py", 1, "failed", (), failure)
    line = line_of(record)
    assert "test_logs.py" in str(line["error"])
    assert "what the client sent" not in json.dumps(line)


def test_the_line_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "serving.requests")
    log_call(Call(1.0, 1.001, 1.003, 1.006, 1.01, "GRPC", "Predict", "search", "OK", TRACE))
    log_call(Call(1.0, 1.0, finished=1.001, entrypoint="REST", api="predict", status="NOT_FOUND"))
    first, second = (line_of(record) for record in caplog.records)
    assert first["message"] == f"GRPC Predict search OK 10.0 ms traceparent {TRACE}"
    assert (first["run_milliseconds"], first["traceparent"]) == (3.0, TRACE)
    assert (first["trace_id"], first["parent_span_id"]) == (TRACE[3:35], TRACE[36:52])
    assert second["message"] == "REST predict - NOT_FOUND 1.0 ms"
    assert "traceparent" not in second
