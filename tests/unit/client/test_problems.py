"""Every refusal becomes the right exception, told safely."""

import json

import pytest
from safegene_client.problems import error_from_response, plain_text

from safegene.errors import (
    AlreadyExistsError,
    AuthenticationError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    PreconditionFailedError,
    PromotionRefusedError,
    RegistryError,
    RejectedError,
    TransportError,
)

URL = "http://registry.test"


def problem(slug, status, headers=None, **members):
    body = {"type": f"{URL}/problems/{slug}", "detail": "It is so.", **members}
    found = {"content-type": "application/problem+json; charset=utf-8"}
    return error_from_response(
        status, found | (headers or {}), json.dumps(body).encode(), url=URL
    )


@pytest.mark.parametrize(
    ("slug", "status", "kind"),
    [
        ("invalid-request", 422, RejectedError),
        ("authentication-required", 401, AuthenticationError),
        ("forbidden", 403, ForbiddenError),
        ("not-found", 404, NotFoundError),
        ("identity-rejected", 401, AuthenticationError),
        ("quota-exceeded", 413, RegistryError),
        ("name-taken", 409, AlreadyExistsError),
        ("owner-required", 409, RejectedError),
        ("issuer-unavailable", 503, TransportError),
        ("attestation-invalid", 422, RejectedError),
        ("attestation-limit", 409, RegistryError),
        ("upstream-invalid", 502, RegistryError),
        ("upstream-unavailable", 504, TransportError),
        ("version-exists", 409, AlreadyExistsError),
        ("version-yanked", 409, RegistryError),
        ("alias-changed", 412, PreconditionFailedError),
        ("policy-changed", 412, PreconditionFailedError),
        ("promotion-refused", 409, PromotionRefusedError),
        ("version-purged", 410, GoneError),
        ("digest-mismatch", 422, RejectedError),
        ("manifest-invalid", 422, RejectedError),
        ("blob-missing", 409, RejectedError),
        ("payload-too-large", 413, RejectedError),
        ("unsupported-media-type", 415, RejectedError),
        ("method-not-allowed", 405, RejectedError),
        ("range-not-satisfiable", 416, RejectedError),
        ("request-timeout", 408, TransportError),
        ("rate-limited", 429, TransportError),
        ("storage-unavailable", 503, TransportError),
        ("internal-error", 500, RegistryError),
    ],
)
def test_slug_decides_the_exception(slug, status, kind):
    error = problem(slug, status)

    assert type(error) is kind
    assert error.status == status
    assert error.problem_type == slug
    assert error.detail.startswith(f"It is so (the registry at {URL} answered {status}")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (410, GoneError),
        (412, PreconditionFailedError),
        (408, TransportError),
        (429, TransportError),
        (502, TransportError),
        (503, TransportError),
        (504, TransportError),
        (418, RejectedError),
        (500, RegistryError),
        (304, RegistryError),
        (799, RegistryError),
    ],
)
def test_status_decides_where_a_proxy_answered(status, kind):
    error = error_from_response(
        status, {"content-type": "text/html"}, b"<html>no</html>", url=URL
    )

    assert type(error) is kind
    assert error.status == status
    assert "<html>" not in error.detail


@pytest.mark.parametrize(
    "body",
    [b"not json", b"[1]", b'{"type": 7, "errors": "x"}', b"[" * 100_000, b"\xff"],
)
def test_malformed_problem_falls_back_to_the_status(body):
    error = error_from_response(
        404, {"content-type": "application/problem+json"}, body, url=URL
    )

    assert type(error) is NotFoundError


def test_parts_of_the_request_are_named():
    errors = [{"pointer": "/footprint", "detail": "is empty"}, "odd"]

    error = problem("manifest-invalid", 422, errors=errors)

    assert "[/footprint: is empty]" in error.detail


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-3", None)],
)
def test_retry_after_is_read_in_seconds(header, seconds):
    error = problem("rate-limited", 429, {"retry-after": header})

    assert error.retry_after == seconds


def test_internal_error_quotes_the_request_id():
    error = problem("internal-error", 500, request_id="req-77")

    assert error.request_id == "req-77"
    assert "req-77" in error.detail


def test_authentication_error_says_what_to_do():
    assert "SAFEGENE_TOKEN" in problem("authentication-required", 401).detail


def test_foreign_text_cannot_steer_a_terminal():
    error = problem("not-found", 404, detail="gone\x1b[2J\r\nerror: all is well")

    assert "\x1b" not in error.detail
    assert "\n" not in error.detail


def test_foreign_text_is_capped():
    assert len(plain_text("a" * 10_000)) < 600


def test_a_refused_promotion_lists_its_demands():
    part = {
        "measure": "harm.upper_end",
        "met": False,
        "wanted": "at most 0.1",
        "found": "0.125",
        "missed_by": "0.025",
    }
    demand = {
        "demand": "evaluation",
        "kind": "evaluation",
        "met": False,
        "parts": [part],
        "advice": "measure more",
    }

    error = problem("promotion-refused", 409, demands=[demand])

    assert [one.missed_by for one in error.demands[0].parts] == ["0.025"]
    assert error.demands[0].advice == "measure more"


@pytest.mark.parametrize("demands", [None, "no", [1], [{"demand": "x"}]])
def test_demands_that_are_none_are_left_out(demands):
    assert problem("promotion-refused", 409, demands=demands).demands == ()
