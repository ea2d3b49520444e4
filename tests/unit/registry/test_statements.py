"""Every route that reads asks the database a fixed number of questions.

Counted as the database gets them, with one row in every list and with many.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from safegene_registry.models import Webhook
from safegene_registry.webhooks.sending import new_secret
from sqlalchemy import event
from support.access_requests import (
    ADVISORIES,
    ALIASES,
    APPROVALS,
    ATTESTATIONS,
    EVALUATORS,
    FAMILY,
    HOOK,
    POLICY,
    REQUESTS,
    RULES,
    VERSION,
)
from support.access_requests import VECTOR as VECTOR_PATH
from support.access_world import SETTINGS
from support.crowd import OWNER, ROOM, new_crowd, said_first
from support.registry_app import MANIFEST_MEDIA_TYPE, app_registry, bearer
from support.versions import llama_config

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.lineage import sketch_positions

MANY = 12
TOKEN = 1
"""Who asks; of every request with a token."""

GUARD = TOKEN + 1
"""How the caller stands to the namespace."""

STATEMENTS = {
    "GET /healthz": 0,
    "GET /readyz": None,
    "GET /metrics": 0,
    "GET /problems/{slug}": 0,
    "GET /v1/vectors": TOKEN + 3,
    "GET /v1/architectures": TOKEN + 2,
    "GET /v1/compatibility": None,
    f"GET {VECTOR_PATH}": GUARD + 4,
    f"GET {VECTOR_PATH}/versions": GUARD + 2,
    f"GET {VECTOR_PATH}/resolve": GUARD + 5,
    f"GET {VERSION}": GUARD + 4,
    f"GET {VERSION}/manifest": GUARD + 1,
    f"GET {VERSION}/files/{{path}}": GUARD + 2,
    f"HEAD {VERSION}/files/{{path}}": GUARD + 2,
    f"GET {ALIASES}": GUARD + 3,
    f"GET {ALIASES}/{{alias}}": GUARD + 3,
    f"GET {ALIASES}/{{alias}}/history": GUARD + 2,
    f"GET {ADVISORIES}": GUARD + 2,
    f"GET {ADVISORIES}/{{number}}": GUARD + 2,
    f"GET {ATTESTATIONS}": GUARD + 2,
    f"GET {ATTESTATIONS}/{{digest}}": GUARD + 2,
    f"GET {EVALUATORS}": GUARD + 1,
    f"GET {APPROVALS}": GUARD + 2,
    f"GET {POLICY}": GUARD + 1,
    f"GET {POLICY}/history": GUARD + 1,
    "GET /v1/uploads/{upload_id}": TOKEN + 7,
    "GET /v1/namespaces": TOKEN + 1,
    "GET /v1/namespaces/{namespace}": GUARD + 3,
    "GET /v1/namespaces/{namespace}/members": GUARD + 1,
    f"GET {RULES}": GUARD + 2,
    "GET /v1/namespaces/{namespace}/events": GUARD + 2,
    "GET /v1/namespaces/{namespace}/webhooks": GUARD + 1,
    "GET /v1/namespaces/{namespace}/webhooks/{webhook_id}/dead-letters": GUARD + 2,
    "GET /v1/namespaces/{namespace}/events/stream": GUARD + 1,
    "GET /v1/namespaces/{namespace}/publishers": GUARD + 1,
    "GET /v1/whoami": TOKEN + 2,
    "GET /v1/tokens": TOKEN + 1,
    "GET /v1/accounts": TOKEN + 1,
    "GET /v1/accounts/{account}/tokens": TOKEN + 2,
}
"""What each takes; None: elsewhere in this file, or in a thread of its own, with
time-outs of its own."""

FITTING = 2
"""The heads of a family, and whether there are more."""

OTHERS = 2
"""The nearest families, of the same model type if there are enough, and their heads."""

SEES = 1
"""Whether the asker sees any vector of a family."""

STRUCTURES = 1
"""Those of families that nobody has asked about before."""

RANGE = 2
"""All versions of some vectors, and those that the range means."""

SHOWN = 1
"""The best that was said of all that is answered with."""

PLACES = {
    "namespace": ROOM,
    "name": "guard",
    "version": "1.0.0",
    "path": "README.md",
    "account": OWNER,
    "alias": "stable",
    "number": "1",
    "slug": "forbidden",
}


@contextmanager
def counted(database) -> Iterator[list[str]]:
    """Write down the questions that the database is asked."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_):
        if statement.lstrip().startswith(("SELECT", "WITH")):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def crowds(tmp_path_factory, module_parts):
    """A registry with one row in every list, to be filled later on."""
    root = tmp_path_factory.mktemp("crowd")
    with app_registry(root / "data", **SETTINGS, **module_parts) as registry:
        crowd = new_crowd(registry, root)
        crowd.fill([1])
        yield crowd


def asked(crowd, method, path, **body):
    """How often the database is asked for one request."""
    with counted(crowd.registry.services.database) as seen:
        answer = crowd.registry.client.request(
            method, path, headers=bearer(crowd.token), **body
        )
    assert answer.status_code in (200, 401), answer.text
    return len(seen)


def reading_routes():
    return [route for route in REQUESTS if route.split()[0] in ("GET", "HEAD")]


def test_every_route_that_reads_is_counted():
    assert set(STATEMENTS) == set(reading_routes())


def test_no_route_asks_more_often_where_there_is_more(crowds):
    """In one test, since the second count needs what the first must not see."""
    places = {
        **PLACES,
        "upload_id": open_upload(crowds),
        "webhook_id": add_webhook(crowds),
        "digest": said_first(crowds),
    }
    routes = {}
    for route in reading_routes():
        method, _, path = route.partition(" ")
        for name, value in places.items():
            path = path.replace("{" + name + "}", value)
        routes[route] = method, path
    stream = "GET /v1/namespaces/{namespace}/events/stream"
    routes[stream] = "GET", f"{routes[stream][1]}?seconds=0"
    routes["GET /v1/compatibility"] = "GET", f"/v1/compatibility?fingerprint={FAMILY}"
    ranged = routes[f"GET {VECTOR_PATH}/resolve"]
    routes["in a range"] = ranged[0], f"{ranged[1]}?constraint=~%3D1.0"
    routes["by alias"] = ranged[0], f"{ranged[1]}?alias=stable"
    facts = "family=llama&layers=2&license=Apache-2.0&rank=8&query=guard"
    routes["by facts"] = "GET", f"/v1/vectors?{facts}"
    shown = "j_at_least=0.1&harmful_samples=2&over_refusal_at_most=0.9"
    routes["by evaluations"] = "GET", f"/v1/vectors?{shown}"
    routes["the best first"] = "GET", f"/v1/vectors?{shown}&sort=j"
    expected = {
        **STATEMENTS,
        "by evaluations": STATEMENTS["GET /v1/vectors"],
        "the best first": STATEMENTS["GET /v1/vectors"],
        "in a range": GUARD + 6,
        "by alias": GUARD + 5,
        "by facts": STATEMENTS["GET /v1/vectors"],
    }

    one = {route: asked(crowds, *request) for route, request in routes.items()}
    asked_what_fits(crowds)
    crowds.fill(range(2, 2 + MANY))
    many = {route: asked(crowds, *request) for route, request in routes.items()}

    assert one == {
        route: one[route] if count is None else count
        for route, count in expected.items()
    }
    # Few families: those of other model types are asked for, too.
    assert one.pop("GET /v1/compatibility") == (
        TOKEN + STRUCTURES + SEES + FITTING + OTHERS + 1 + STRUCTURES + SHOWN
    )
    assert many.pop("GET /v1/compatibility") == (
        TOKEN + SEES + FITTING + OTHERS + STRUCTURES + SHOWN
    )
    assert many == one
    whole = TOKEN + FITTING + OTHERS + SHOWN
    assert asked_what_fits(crowds) == whole
    assert asked_what_fits(crowds, constraint="<9") == whole + RANGE
    assert asked_what_fits(crowds, constraint="<1.5") <= whole + 2 * RANGE
    assert asked_what_fits(crowds, sketch=sketch()) == whole + 1
    # Fifty families at a time.
    assert asked_about_a_fleet(crowds) == TOKEN + 2 + SHOWN


def asked_about_a_fleet(crowd):
    """How often the database is asked about sixty families and what is none."""
    configs = [llama_config(hidden=64 + 4 * (n % 60)) for n in range(100)]
    configs += [{"model_type": f"none-{n}"} for n in range(100)]
    with counted(crowd.registry.services.database) as seen:
        answer = crowd.registry.client.post(
            "/v1/compatibility/fleet",
            json={"configs": configs},
            headers=bearer(crowd.token),
        )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["answers"]) == 160
    return len(seen)


def sketch():
    """A lineage sketch of the right size."""
    family = architecture_from_config(llama_config())
    return [0.5] * sum(run.count for run in sketch_positions(family))


def add_webhook(crowd) -> str:
    """A webhook without dead letters; its id."""
    webhook = Webhook(namespace=ROOM, url=HOOK, secret=new_secret(), position=0)
    with crowd.registry.services.database.writing() as session:
        session.add(webhook)
    return str(webhook.id)


def open_upload(crowd) -> str:
    """An upload that nothing was sent of."""
    changed = crowd.manifest.model_copy(update={"version": "9.0.0"})
    answer = crowd.registry.client.post(
        "/v1/uploads",
        content=type(changed).model_validate(changed.model_dump()).to_bytes(),
        headers={**bearer(crowd.token), "Content-Type": MANIFEST_MEDIA_TYPE},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def asked_what_fits(crowd, **more):
    """How often the database is asked which vectors fit a model."""
    body = {"config": llama_config(), **more}
    with counted(crowd.registry.services.database) as seen:
        answer = crowd.registry.client.post(
            "/v1/compatibility", json=body, headers=bearer(crowd.token)
        )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["fits"]) + len(answer.json()["others"]) > 1
    return len(seen)
