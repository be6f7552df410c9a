"""The plain shape of a basic logging set-up, read line by line and never trusted."""

import io
import logging
from datetime import UTC, datetime

import pytest

from firebreak.detectors.parsing import LineParser, MalformedLine
from firebreak.detectors.records import Record

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def parse(line: str, format: str = "plain") -> Record | None:
    return LineParser(format, {}, "answer-tickets", clock=lambda: NOW).parse(line.encode(), "log:0")  # type: ignore[arg-type]


@pytest.mark.parametrize("format", [None, "%(asctime)s - %(name)s - %(levelname)s - %(message)s", "%(message)s"])
def test_what_logging_really_writes(format: str | None) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(format or logging.BASIC_FORMAT))
    logger = logging.Logger("app.calls", logging.INFO)
    logger.addHandler(handler)
    logger.info("PROMPT: Where is: my parcel?")
    logger.info("RESPONSE: On its way.")
    logger.info("connected")
    asked, answered, chatter = map(parse, stream.getvalue().splitlines())
    assert asked is not None
    assert answered is not None
    assert (asked.prompt, asked.response) == ("Where is: my parcel?", None)
    assert (answered.prompt, answered.response) == ("", "On its way.")
    assert chatter is None


def test_a_plain_record_is_untrusted_and_nobodys() -> None:
    record = parse("INFO:root:PROMPT: hi")
    assert record is not None
    assert not record.trusted
    assert (record.user, record.workflow, record.time) == (None, "answer-tickets", NOW)


def test_a_time_in_the_line_is_used_and_one_that_is_none_is_not() -> None:
    record = parse("2026-01-30 08:15:00,250 INFO PROMPT: hi")
    assert record is not None
    assert record.time == datetime(2026, 1, 30, 8, 15, 0, 250_000, tzinfo=UTC)
    record = parse("2026-13-45 99:15:00 INFO PROMPT: hi")
    assert record is not None
    assert record.time == NOW


def test_the_marker_is_kept_as_the_error() -> None:
    record = parse("WARNING:router:[ANOMALY] confidence 0.12")
    assert record is not None
    assert record.error == "[ANOMALY] confidence 0.12"


def test_a_forged_json_line_in_a_mixed_log_is_untrusted() -> None:
    forged = parse('{"time": "2026-01-31T12:00:00Z", "user": "victim", "prompt": "hi"}', format="auto")
    assert forged is not None
    assert not forged.trusted
    assert parse('{"time": "2026-01-31T12:00:00Z"}', format="plain") is None


def test_auto_sets_aside_what_is_neither() -> None:
    assert parse("INFO:root:started", format="auto") is None
    with pytest.raises(MalformedLine, match="neither a JSON object nor a line of a plain log"):
        parse('mpt": "torn off at the front"}', format="auto")
