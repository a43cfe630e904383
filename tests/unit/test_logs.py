"""What is kept out of the log lines, whoever writes them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from gunicorn.http import errors

from billing import logs
from billing.logs import redacted
from tests.support.application import Billing


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("GET /usage?key=hunter2 done", "GET /usage?… done"),
        (
            "Error handling request GET /v1/usage?a=1&key=hunter2",
            "Error handling request GET /v1/usage?…",
        ),
        ("'/usage?key=hunter2' \"/x?key=hunter2\"", "'/usage?…' \"/x?…\""),
        ("a key sk-hunter2, another (sk-hunter2-7)", "a key sk-…, another (sk-…-7)"),
        ("/v1/sk-hunter2/usage", "/v1/sk-…/usage"),
        ("100% of nothing", "100% of nothing"),
        ("获取配额失败 [r-1]", "获取配额失败 [r-1]"),
    ],
)
def test_a_line_is_kept_but_for_queries_and_keys(line: str, kept: str) -> None:
    assert redacted(line) == kept


@pytest.mark.parametrize("address", ["", "127.0.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    ("refusal", "kept"),
    [
        (errors.InvalidRequestLine("GET  /usage bare0token"), "Invalid HTTP request line"),
        (errors.InvalidRequestMethod("bare0token"), "Invalid HTTP method"),
        (errors.InvalidHTTPVersion("bare0token"), "Invalid HTTP Version"),
        (errors.InvalidHeader("Bearer bare0token"), "Invalid HTTP Header"),
        (errors.InvalidHeader('it\'s "bare0token"'), "Invalid HTTP Header"),
        (errors.InvalidHeaderName("bare0token\n"), "Invalid HTTP header name"),
        (errors.ObsoleteFolding("bare0token"), "Obsolete line folding is unacceptable"),
        (errors.LimitRequestLine(5000, 4094), "Request Line is too large (5000 > 4094)"),
    ],
)
def test_what_the_server_refuses_is_named_but_not_quoted(
    refusal: Exception, kept: str, address: str
) -> None:
    line = f"Invalid request from ip={address}: {refusal}"

    assert redacted(line) == f"Invalid request from ip={address}: {kept}"


def test_a_request_that_broke_off_is_not_quoted() -> None:
    half = errors.NoMoreData(b"GET / HTTP/1.1\r\nAuthorization: Bearer bare0token")

    line = redacted(f"Ignored premature client disconnection. {half}")

    assert line == "Ignored premature client disconnection. No more data after"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What our handler writes."""
    logs.init_app("INFO")
    (handler,) = logging.getLogger("billing").handlers
    assert isinstance(handler, logging.StreamHandler)
    before, stream = handler.setStream(io.StringIO()), handler.stream
    yield stream
    handler.setStream(before)


def test_our_own_lines_are_redacted_with_their_arguments(stream: io.StringIO) -> None:
    logging.getLogger("billing").error("%s: %d%% of %s", "sk-hunter2", 5, "/usage?key=hunter2")

    assert stream.getvalue().endswith(" ERROR sk-…: 5% of /usage?…\n")


def test_a_line_is_written_once_however_many_applications_there_are(stream: io.StringIO) -> None:
    logs.init_app("INFO")
    logs.init_app("WARNING")

    logging.getLogger("billing").info("unheard")
    logging.getLogger("billing").warning("heard")

    assert [line.split()[2:] for line in stream.getvalue().splitlines()] == [["WARNING", "heard"]]


def test_a_traceback_is_part_of_its_line_and_redacted(stream: io.StringIO) -> None:
    logs.init_app("INFO", "json")
    try:
        raise ValueError("sk-hunter2 of /usage?key=hunter2")
    except ValueError:
        logging.getLogger("billing").exception("internal_error", extra={"request_id": "r-1"})
    logs.init_app("INFO")

    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert list(told) == ["time", "level", "message", "request_id", "traceback"]
    assert (told["level"], told["message"], told["request_id"]) == (
        "ERROR",
        "internal_error",
        "r-1",
    )
    assert told["traceback"].endswith("ValueError: sk-… of /usage?…")


def test_the_line_for_people_ends_with_the_requests_id(stream: io.StringIO) -> None:
    logging.getLogger("billing").error("database_unavailable: away", extra={"request_id": "r-1"})

    assert stream.getvalue().endswith(" ERROR database_unavailable: away [r-1]\n")


def test_access_lines_name_every_route(sqlite_billing: Billing) -> None:
    rules = sqlite_billing.make_app(METRICS="true").url_map.iter_rules()
    paths = {rule.rule.replace("<path:filename>", "panel.js") for rule in rules}

    named = set()
    for path in paths:
        record = logging.LogRecord("", logging.INFO, "", 0, "%(U)s", ({"U": path},), None)
        logs.RedactingFilter().filter(record)
        named.add(record.getMessage())

    assert named == paths
    assert len(paths) > 15


def test_access_lines_name_no_other_path() -> None:
    for path in ("/v1/organization/sk-x", "/organization/costs", "/v1/x", "/v1/organization/usage"):
        record = logging.LogRecord("", logging.INFO, "", 0, "%(U)s", ({"U": path},), None)
        logs.RedactingFilter().filter(record)
        assert record.getMessage() == "other"
