"""The lean application answers as Flask itself would: paths, methods, HEAD, errors of any kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter

from billing.web.app import LeanFlask
from billing.web.json_response import JSONResponse
from tests.support.application import Billing


def paths(app: Flask) -> list[str]:
    return sorted({rule.rule for rule in app.url_map.iter_rules() if not rule.arguments})


def test_each_fixed_path_leads_where_werkzeug_says(sqlite_billing: Billing) -> None:
    app = sqlite_billing.make_app(METRICS="true")
    werkzeug = app.url_map.bind("")

    for path in paths(app):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE", "BREW"):
            with app.test_request_context(path, method=method) as context:
                refused = type(context.request.routing_exception)
                found = context.request.url_rule, context.request.view_args
                expected: Any
                error: Any
                try:
                    expected, error = werkzeug.match(path, method, return_rule=True), type(None)
                except (MethodNotAllowed, NotFound) as raised:
                    expected, error = (None, None), type(raised)
                assert (found, refused) == (expected, error)

    assert len(paths(app)) > 10


def test_options_names_the_methods_of_its_path(sqlite_billing: Billing) -> None:
    answer = sqlite_billing.client().options("/v1/dashboard/billing/usage")

    assert set(answer.allow) == {"GET", "HEAD", "OPTIONS"}


def test_fixed_paths_are_not_looked_for(
    sqlite_billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MapAdapter, "match", lambda *args, **kwargs: pytest.fail("looked for"))

    assert sqlite_billing.client().get("/healthz").status_code == 200


def test_a_body_is_counted_in_bytes_and_left_out_of_head() -> None:
    app = LeanFlask("test")
    app.add_url_rule("/", view_func=lambda: {"名": "值"})

    whole, head = app.test_client().get("/"), app.test_client().head("/")

    assert (whole.data, head.data) == ('{"名":"值"}\n'.encode(), b"")
    assert dict(whole.headers) == dict(head.headers)
    assert dict(whole.headers) == {"Content-Type": "application/json", "Content-Length": "14"}


def test_headers_and_status_of_a_response_are_sent() -> None:
    app = LeanFlask("test")
    headers = [("Allow", "GET"), ("Allow", "HEAD")]
    app.add_url_rule("/", view_func=lambda: JSONResponse([1], 418, headers))

    answer = app.test_client().get("/")

    assert (answer.status, answer.get_json()) == ("418 I'M A TEAPOT", [1])
    assert answer.headers.getlist("Allow") == ["GET", "HEAD"]


def test_a_response_may_be_changed_before_it_is_sent() -> None:
    app = LeanFlask("test")
    app.add_url_rule("/", view_func=lambda: JSONResponse([1], headers=[("Allow", "GET")]))

    @app.after_request
    def change(response: JSONResponse) -> JSONResponse:
        response.status_code = 202
        response.headers["Allow"] = "HEAD"
        return response

    answer = app.test_client().get("/")

    assert (answer.status, answer.headers["Allow"]) == ("202 ACCEPTED", "HEAD")
    assert (answer.headers["Content-Length"], answer.get_json()) == ("4", [1])


def test_nothing_is_registered_that_runs_after_every_request(sqlite_billing: Billing) -> None:
    assert not sqlite_billing.make_app().after_request_funcs


@pytest.mark.parametrize("answers", [None, "everywhere", "here"])
@pytest.mark.parametrize("kind", [Flask, LeanFlask])
def test_functions_before_a_request_run_in_flasks_order(
    kind: type[Flask], answers: str | None
) -> None:
    app, outer, inner = kind("test"), Blueprint("outer", "test"), Blueprint("inner", "test")
    called = []

    def step(name: str) -> Callable[[], str | None]:
        def run() -> str | None:
            called.append(name)
            return name if name == answers else None

        return run

    app.before_request(step("everywhere"))
    outer.before_request(step("around"))
    inner.before_request(step("here"))
    app.add_url_rule("/plain", view_func=lambda: "plain")
    inner.add_url_rule("/view", view_func=lambda: "view")
    outer.register_blueprint(inner)
    app.register_blueprint(outer)

    texts = [app.test_client().get(path).text for path in ("/plain", "/view")]

    if answers == "everywhere":
        assert (texts, called) == (["everywhere"] * 2, ["everywhere"] * 2)
    else:
        assert texts == ["plain", answers or "view"]
        assert called == ["everywhere", "everywhere", "around", "here"]


def test_functions_after_requests_and_at_their_end_are_called() -> None:
    app, called = LeanFlask("test"), []
    app.add_url_rule("/", view_func=dict)

    @app.after_request
    def after(response: JSONResponse) -> JSONResponse:
        called.append("after")
        return response

    app.teardown_request(lambda error: called.append("request"))
    app.teardown_appcontext(lambda error: called.append("application"))
    app.test_client().get("/")

    assert called == ["after", "request", "application"]


def test_what_cannot_be_json_is_an_error_and_no_text() -> None:
    with pytest.raises(TypeError):
        JSONResponse({"value": object()})
    assert json.loads(JSONResponse({"value": 2**53 + 1}).data) == {"value": 2**53 + 1}
