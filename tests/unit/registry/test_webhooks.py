"""What happens is sent to those who want to hear of it, signed, in order, and no change
waits for any of them."""

import dataclasses
import json
from datetime import timedelta
from uuid import UUID

import pytest
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.models import Webhook
from safegene_registry.webhooks.delivery import DELAYS, LEASE, Deliverer
from safegene_registry.webhooks.managing import MAX_WEBHOOKS
from safegene_registry.webhooks.sending import Delivery, signature
from safegene_registry.webhooks.targets import parse_networks
from sqlalchemy import update
from support.receiver import running_receiver, wait_until
from support.registry_app import Clock, app_registry, bearer

WEBHOOKS = "/v1/namespaces/acme/webhooks"


@pytest.fixture
def registry(tmp_path, parts):
    settings = {
        "webhook_networks": parse_networks("127.0.0.0/8"),
        "webhook_allow_http": True,
    }
    with app_registry(tmp_path / "data", **settings, **parts) as running:
        yield running


@pytest.fixture
def receiver():
    with running_receiver() as running:
        yield running


@pytest.fixture
def owner(registry):
    """Headers of the owner of `acme`."""
    headers = bearer(registry.token_of("ann", "admin"))
    made = registry.client.post(
        "/v1/namespaces", json={"name": "acme"}, headers=headers
    )
    assert made.status_code == 201, made.text
    return headers


@pytest.fixture
def hook(registry, owner, receiver):
    """A webhook that sends to the receiver, as it was answered."""
    made = registry.client.post(WEBHOOKS, json={"url": receiver.url}, headers=owner)
    assert made.status_code == 201, made.text
    receiver.until(1)
    receiver.came.clear()
    return made.json()


def change(registry, number=1):
    """Change something."""
    with registry.services.database.writing() as session:
        record(session, "acme", Kind.QUOTA_CHANGED, by="tests", number=number)


def shown(registry, owner):
    (found,) = registry.client.get(WEBHOOKS, headers=owner).json()["items"]
    return found


def letters(registry, owner, hook):
    path = f"{WEBHOOKS}/{hook['id']}/dead-letters"
    return registry.client.get(path, headers=owner).json()["items"]


def replay(registry, owner, hook, **wanted):
    path = f"{WEBHOOKS}/{hook['id']}/replay"
    return registry.client.post(path, json=wanted, headers=owner)


def numbers(receiver):
    return [json.loads(body)["details"]["number"] for _, body in receiver.came]


def test_what_happens_is_sent_and_signed(registry, owner, hook, receiver):
    change(registry)
    receiver.until(1)

    ((headers, body),) = receiver.came
    named = {name.lower(): value for name, value in headers.items()}
    (event,) = registry.client.get(
        "/v1/namespaces/acme/events?after=2", headers=owner
    ).json()["items"]
    assert json.loads(body) == event
    digits = event["digest"][7:23]
    assert named["webhook-id"] == f"{hook['id']}.{event['position']}.{digits}"
    assert named["webhook-signature"] == signature(
        hook["secret"],
        Delivery(named["webhook-id"], body),
        int(named["webhook-timestamp"]),
    )
    wait_until(lambda: shown(registry, owner)["position"] == event["position"])
    assert "secret" not in shown(registry, owner)
    assert shown(registry, owner)["error"] is None


def test_what_was_there_before_is_not_sent_and_what_comes_is_in_order(
    registry, hook, receiver
):
    assert hook["position"] == 1
    for number in range(5):
        change(registry, number)
    receiver.until(5)

    assert numbers(receiver) == [0, 1, 2, 3, 4]


def test_no_change_waits_for_a_receiver(registry, owner, hook, receiver):
    receiver.released.clear()
    change(registry, 0)
    receiver.until(1)

    for number in range(1, 4):
        change(registry, number)
    private = {"visibility": "private"}
    answer = registry.client.patch("/v1/namespaces/acme", json=private, headers=owner)

    assert answer.status_code == 200
    assert len(receiver.came) == 1
    receiver.released.set()
    receiver.until(5)
    assert hook["attempts"] == 0


@pytest.fixture
def alone(registry, hook):
    """A deliverer with a clock of its own; the application's leaves the webhook be."""
    long = registry.services.now() + timedelta(days=9)
    with registry.services.database.writing() as session:
        session.execute(update(Webhook).values(leased_until=long))
    clock = Clock()
    services = dataclasses.replace(registry.services, now=clock)
    deliverer = Deliverer(services)
    deliverer.thread.start()
    deliverer.stopping.set()
    yield deliverer, clock, UUID(hook["id"])
    deliverer.stop()


def test_what_is_not_taken_is_tried_again_and_kept_in_the_end(
    registry, owner, hook, receiver, alone
):
    deliverer, clock, webhook_id = alone
    receiver.status = 500
    change(registry, 7)

    waits = []
    for _ in DELAYS:
        assert not deliverer.send_next(webhook_id)
        found = shown(registry, owner)
        assert "status 500" in found["error"]
        with registry.services.database.reading() as session:
            retry_at = session.get_one(Webhook, webhook_id).retry_at
        waits.append(round((retry_at - clock()).total_seconds(), -0))
        clock.ahead += retry_at - clock()
    assert letters(registry, owner, hook) == []
    assert not deliverer.send_next(webhook_id)

    expected = [delay.total_seconds() for delay in DELAYS]
    assert waits == pytest.approx(expected, abs=5)
    (letter,) = letters(registry, owner, hook)
    assert (letter["position"], letter["due"]) == (3, False)
    assert "status 500" in letter["error"]
    assert shown(registry, owner)["position"] == 3
    ids = {headers["webhook-id"] for headers, _ in receiver.came}
    assert len(ids) == 1
    assert ids.pop().startswith(f"{webhook_id}.3.")
    assert len(receiver.came) == len(DELAYS) + 1

    assert not deliverer.send_next(webhook_id)
    assert replay(registry, owner, hook, position=3).json() == {"count": 1}
    assert not deliverer.send_next(webhook_id)
    assert letters(registry, owner, hook)[0]["due"] is False
    receiver.status = 200
    assert replay(registry, owner, hook).json() == {"count": 1}
    assert deliverer.send_next(webhook_id)
    assert letters(registry, owner, hook) == []
    assert numbers(receiver)[-1] == 7
    assert replay(registry, owner, hook, position=3).status_code == 404


def test_a_webhook_is_worked_on_by_one_replica_at_a_time(registry, owner, receiver):
    receiver.released.clear()
    for _ in range(2):
        registry.client.post(WEBHOOKS, json={"url": receiver.url}, headers=owner)
    others = [Deliverer(registry.services) for _ in range(3)]
    for other in others:
        other.start()
    receiver.until(2)
    for number in range(3):
        change(registry, number)
    receiver.released.set()
    wait_until(
        lambda: (
            {
                item["position"]
                for item in registry.client.get(WEBHOOKS, headers=owner).json()["items"]
            }
            == {6}
        )
    )
    for other in others:
        other.stop()

    ids = [headers["webhook-id"] for headers, _ in receiver.came]
    assert len(ids) == len(set(ids))
    assert timedelta(0) < LEASE


def test_one_that_is_gone_gets_nothing(registry, owner, hook, receiver):
    path = f"{WEBHOOKS}/{hook['id']}"

    removed = registry.client.delete(path, headers=owner)
    again = registry.client.delete(path, headers=owner)
    change(registry)
    other = registry.client.post(WEBHOOKS, json={"url": receiver.url}, headers=owner)
    change(registry, 2)
    receiver.until(2)

    assert [removed.status_code, again.status_code] == [204, 404]
    sent = {headers["webhook-id"].partition(".")[0] for headers, _ in receiver.came}
    assert sent <= {other.json()["id"], hook["id"]}
    assert numbers_of(receiver, other.json()["id"]) == [None, 2]
    assert numbers_of(receiver, hook["id"]) in ([], [None])


def numbers_of(receiver, webhook_id):
    """What came of one webhook; None: that it was made or removed."""
    return [
        json.loads(body)["details"].get("number")
        for headers, body in receiver.came
        if headers["webhook-id"].startswith(webhook_id)
    ]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "http://user@example.org/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "x" * 2000,
        "",
    ],
)
def test_addresses_that_are_refused_at_once(registry, owner, url):
    answer = registry.client.post(WEBHOOKS, json={"url": url}, headers=owner)

    assert answer.status_code == 422
    assert registry.client.get(WEBHOOKS, headers=owner).json()["items"] == []


def test_a_namespace_has_so_many_at_most(registry, owner, receiver):
    answers = [
        registry.client.post(WEBHOOKS, json={"url": receiver.url}, headers=owner)
        for _ in range(MAX_WEBHOOKS + 1)
    ]

    assert [answer.status_code for answer in answers] == [201] * MAX_WEBHOOKS + [422]
    page = registry.client.get(WEBHOOKS, params={"limit": 7}, headers=owner).json()
    assert len(page["items"]) == 7
    rest = registry.client.get(
        WEBHOOKS, params={"cursor": page["next_cursor"]}, headers=owner
    ).json()
    assert len(rest["items"]) == MAX_WEBHOOKS - 7
