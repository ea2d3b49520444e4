"""Log lines: one format for all, request ids in them, secrets not."""

import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from safegene_registry.access import Scope
from safegene_registry.log import (
    EventLogger,
    configure_logging,
    get_logger,
    redact_secrets,
    redact_text,
)
from safegene_registry.settings import LogFormat
from support.registry_app import app_registry, bearer
from support.versions import write_version


@pytest.fixture(autouse=True)
def own_root_logger() -> Iterator[None]:
    """Put the root logger back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_events_are_json_objects_with_the_request_id(capsys):
    configure_logging(LogFormat.JSON, "INFO")
    log = get_logger("safegene_registry.tests.json")

    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("version_published", version="1.0.0", token="sgt_x")

    record = json.loads(capsys.readouterr().err)
    assert record["event"] == "version_published"
    assert record["request_id"] == "r1"
    assert record["version"] == "1.0.0"
    assert record["token"] == "[redacted]"
    assert record["level"] == "info"
    assert record["timestamp"].endswith("Z")


def test_foreign_records_have_the_same_form(capsys):
    configure_logging(LogFormat.JSON, "INFO")

    logging.getLogger("elsewhere").warning("%s happened", "it")

    record = json.loads(capsys.readouterr().err)
    assert record["event"] == "it happened"
    assert record["logger"] == "elsewhere"


def fail(log_format):
    configure_logging(log_format, "INFO")
    held_locally = "sgt_" + "secret"
    try:
        raise KeyError(len(held_locally))
    except KeyError:
        get_logger(f"safegene_registry.tests.{log_format}").exception("request_failed")


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_tracebacks_do_not_show_local_variables(capsys, log_format):
    fail(log_format)

    written = capsys.readouterr().err
    assert "KeyError" in written
    assert "sgt_secret" not in written


def test_failures_carry_their_traceback_on_one_line(capsys):
    fail(LogFormat.JSON)

    written = capsys.readouterr().err
    record = json.loads(written)
    assert record["exception"][0]["exc_type"] == "KeyError"
    assert written.count("\n") == 1


def test_people_get_lines_and_less_severe_records_are_left_out(capsys):
    configure_logging(LogFormat.CONSOLE, "WARNING")
    log = get_logger("safegene_registry.tests.console")

    log.info("upload_opened")
    log.warning("blob_corrupt", digest="sha256:0")

    written = capsys.readouterr().err
    assert "upload_opened" not in written
    assert "blob_corrupt" in written
    assert "digest=sha256:0" in written


def test_urls_lose_their_query_string():
    event = {"url": "https://s3.example/b/k?X-Amz-Signature=abc", "Authorization": "x"}

    assert redact_secrets(None, "info", event) == {
        "url": "https://s3.example/b/k",
        "Authorization": "[redacted]",
    }


SECRETS = {
    "token": ("sgt_abcDEF_123-x", "sgt_[redacted]"),
    "header": ("Authorization: Bearer opaque.value", "Bearer [redacted]"),
    "jwt": ("got eyJhbGci.eyJpc3Mi.c2ln here", "got [redacted] here"),
    "database": ("postgresql://gene:hidden@db/x", "postgresql://gene:[redacted]@db/x"),
    "address": (
        "PUT https://s3.example/b/k?partNumber=1&X-Amz-Signature=abc refused",
        "https://s3.example/b/k?[redacted] refused",
    ),
}


@pytest.mark.parametrize("log_format", list(LogFormat))
@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_in_messages_and_tracebacks_are_not_written(capsys, log_format, kind):
    text, shown = SECRETS[kind]
    configure_logging(log_format, "INFO")

    logging.getLogger("elsewhere").warning("library said: %s", text)
    try:
        raise OSError(text)
    except OSError:
        get_logger(f"safegene_registry.tests.{kind}").exception("request_failed")

    written = capsys.readouterr().err
    assert text not in written
    assert written.count(shown) >= 2


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_what_is_logged_most_looks_like_all_the_rest(capsys, log_format):
    configure_logging(log_format, "INFO")
    name = f"safegene_registry.tests.{log_format}"
    texts = {"path": '/it\'s "a" =\t\n', "account": "ann", "principal_id": None}
    values = {"status": None, "bytes": 3, "ms": 0.5, "method": "GET", "empty": ""}

    get_logger(name).info("request_served", **texts, **values)
    EventLogger(name, "request_served").info(texts, **values)

    lines = capsys.readouterr().err.splitlines()
    if log_format is LogFormat.JSON:
        longer, shorter = map(json.loads, lines)
        times = [longer.pop("timestamp"), shorter.pop("timestamp")]
    else:
        (*times,), (longer, shorter) = zip(
            *(x.split(" ", 1) for x in lines), strict=True
        )
    assert longer == shorter
    shape = "dddd-dd-ddTdd:dd:dd.ddddddZ"
    assert {re.sub("[0-9]", "d", time) for time in times} == {shape}


@pytest.mark.parametrize("log_format", list(LogFormat))
@pytest.mark.parametrize("kind", SECRETS)
def test_what_is_logged_most_holds_no_secrets(capsys, log_format, kind):
    text, shown = SECRETS[kind]
    configure_logging(log_format, "INFO")

    EventLogger("safegene_registry.tests", "request_served").info({"path": text})

    written = capsys.readouterr().err
    assert text not in written
    assert shown in written


def test_what_is_logged_most_heeds_the_level(capsys):
    configure_logging(LogFormat.JSON, "WARNING")

    EventLogger("safegene_registry.tests", "request_served").info({"path": "/"})

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text", ["GET /v1/vectors?limit=5", "at http://127.0.0.1:8080/x", "basics first"]
)
def test_what_is_no_secret_stays(text):
    assert redact_text(None, "info", text) == text


def test_every_request_leaves_one_line_that_tells_how_it_went(capsys, tmp_path):
    with app_registry(tmp_path / "data") as registry:
        configure_logging(LogFormat.JSON, "INFO")
        secret = "sgt_" + "s" * 40
        answer = registry.client.get(
            f"/v1/vectors/acme/none?token={secret}",
            headers={"Authorization": f"Bearer {secret}"},
        )
        written = capsys.readouterr().err

    lines = [json.loads(line) for line in written.splitlines()]
    (record,) = (line for line in lines if line["event"] == "request_served")
    assert record["request_id"] == answer.headers["x-request-id"]
    assert record["route"] == "/v1/vectors/{namespace}/{name}"
    assert record["path"] == "/v1/vectors/acme/none"
    assert record["method"] == "GET"
    assert record["status"] == 401
    assert record["principal_id"] is record["account"] is None
    assert record["duration_ms"] > 0
    assert record["sent_bytes"] == len(answer.content)
    assert secret not in written


def served(written):
    """What lines tell of requests, by route template and method."""
    lines = [json.loads(line) for line in written.splitlines()]
    requests = [line for line in lines if line["event"] == "request_served"]
    return {(line["route"], line["method"]): line for line in requests}


def test_a_session_leaves_a_line_a_request_and_no_secret(capsys, tmp_path, parts):
    """Publishing, tokens, trusted publishers, metrics, a refusal and a bug."""
    manifest = write_version(tmp_path / "v")
    issuer, jwt = "https://issuer.test", "eyJhbGciOiJ.eyJpc3MiOiJ.c2lnbmF0dXJl"
    settings = {**parts, "metrics_token": "m" * 32, "oidc_issuers": (issuer,)}
    with app_registry(tmp_path / "data", **settings) as registry:
        ann = registry.token_of("ann", Scope.ADMIN)
        configure_logging(LogFormat.JSON, "DEBUG")
        ask, headers = registry.client.request, bearer(ann)
        asked = 8
        made = ask("POST", "/v1/tokens", json={"name": "more"}, headers=headers)
        new = made.json()["token"]
        upload = registry.open_upload(manifest.to_bytes()).json()
        # Through the registry, which takes blobs also where there is an object store.
        for entry in manifest.files:
            data = (tmp_path / "v" / entry.path).read_bytes()
            registry.put_blob(upload, entry.digest, data)
        registry.complete(upload)
        asked += 1 + len(upload["blobs"])
        ask("GET", "/v1/whoami", headers=bearer(new))
        ask("GET", "/v1/whoami", headers=bearer("sgt_" + "x" * 43))
        ask("POST", "/v1/oidc/token", json={"namespace": "acme", "jwt": jwt})
        ask("GET", "/metrics", headers=bearer("m" * 32))
        ask("DELETE", f"/v1/tokens/{made.json()['id']}", headers=headers)
        ask("GET", f"/v1/vectors/{ann}", headers=headers)
        written = capsys.readouterr().err

    # As good as the keys of the object store for a while: boto3 would tell at DEBUG.
    signed = [blob["url"] for blob in upload["blobs"] if "://" in blob["url"]]
    for url in signed:
        query = parse_qs(urlsplit(url).query)
        assert query["X-Amz-Signature"][0] not in written
    assert bool(signed) == ("s3_bucket" in parts)
    assert "Authorization" not in written

    requests = served(written)
    lines = written.count('"event": "request_served"')
    assert lines == asked
    for secret in (ann, new, registry.token, jwt, "m" * 32, "x" * 43):
        assert secret not in written
    done = requests["/v1/uploads/{upload_id}/complete", "POST"]
    assert (done["account"], done["status"]) == ("tests", 201)
    sent = requests["/v1/uploads/{upload_id}/blobs/{digest}", "PUT"]
    assert sent["received_bytes"] > 0
    exchanged = requests["/v1/oidc/token", "POST"]
    assert (exchanged["account"], exchanged["status"]) == (None, 401)
    keys = {"request_id", "account", "principal_id", "route", "method", "status"}
    keys |= {"duration_ms", "received_bytes", "sent_bytes", "timestamp", "level"}
    assert all(keys <= line.keys() for line in requests.values())
    assert len({line["request_id"] for line in requests.values()}) == len(requests)
