"""What has happened, page by page and as a stream, and who sees which of it."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from safegene_registry.access import Role, Scope
from safegene_registry.events import live as live_module
from safegene_registry.events.kinds import Kind
from safegene_registry.events.live import Live
from safegene_registry.events.recording import record
from safegene_registry.events.streaming import EventStream
from safegene_registry.membership import set_member
from safegene_registry.problems import ProblemError
from safegene_registry.services import utc_now
from safegene_registry.tokens import (
    WantedToken,
    create_token,
    find_account,
    revoke_all,
    user_account,
)
from support.event_streams import sent_events
from support.registry_app import Clock, bearer
from support.versions import write_version

EVENTS = "/v1/namespaces/acme/events"
MEMBERS = 3
"""Events about members, between one about a version and the next."""


@pytest.fixture
def told(registry, tmp_path):
    """A namespace with 1: created, 2: published, 3 to 5: members, 6: yanked."""
    registry.publish(write_version(tmp_path / "v"), tmp_path / "v")
    for number in range(MEMBERS):
        registry.token_of(f"member-{number}")
        with registry.services.database.writing() as session:
            set_member(session, "acme", f"member-{number}", Role.READER, by="tests")
    answer = registry.client.put(
        "/v1/vectors/acme/refusal/versions/1.0.0/yank",
        json={"reason": "bad"},
        headers=registry.auth,
    )
    assert answer.status_code == 200
    return registry


@pytest.fixture
def owner(told):
    """Headers of an owner, with a token of scope admin."""
    account = told.client.get("/v1/whoami", headers=told.auth).json()["account"]
    return bearer(told.token_of(account, "admin"))


def page(registry, headers=None, **params):
    answer = registry.client.get(EVENTS, params=params, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def stream(registry, headers=None, **params):
    """What a stream says that ends at once."""
    answer = registry.client.get(
        f"{EVENTS}/stream", params={"seconds": 0, **params}, headers=headers or {}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers
    return list(sent_events(answer.text.splitlines()))


def test_readers_see_what_is_about_versions_and_not_who_did_it(told):
    found = page(told)

    assert [item["kind"] for item in found["items"]] == [
        "version.published",
        "version.yanked",
    ]
    assert [item["position"] for item in found["items"]] == [2, 6]
    assert {item["actor"] for item in found["items"]} == {None}
    assert {item["token_id"] for item in found["items"]} == {None}
    assert found["items"][1]["details"]["reason"] == "bad"
    assert (found["last"], found["more"]) == (6, False)


def test_owners_see_everything(told, owner):
    found = page(told, owner)

    assert [item["position"] for item in found["items"]] == [1, 2, 3, 4, 5, 6]
    assert all(item["actor"] for item in found["items"])
    digests = [item["digest"] for item in found["items"]]
    assert [item["previous"] for item in found["items"]] == [None, *digests[:-1]]


def test_a_token_that_cannot_manage_sees_what_readers_see(told):
    assert page(told, told.auth) == page(told)


def test_pages_join_without_a_gap(told, owner):
    seen, after, more = [], 0, True
    while more:
        found = page(told, owner, after=after, limit=2)
        seen += [item["position"] for item in found["items"]]
        after, more = found["last"], found["more"]

    assert seen == [1, 2, 3, 4, 5, 6]
    assert page(told, after=2, limit=1)["last"] == 6
    assert page(told, after=6) == {"items": [], "last": 6, "more": False}


def test_a_position_that_is_not_there_yet_is_refused(told):
    for path, headers in (
        (f"{EVENTS}?after=7", {}),
        (f"{EVENTS}/stream?after=7&seconds=0", {}),
        (f"{EVENTS}/stream?seconds=0", {"Last-Event-ID": "7"}),
    ):
        answer = told.client.get(path, headers=headers)
        assert answer.status_code == 422
        assert "The last event of acme is 6" in answer.json()["detail"]


@pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}/stream?seconds=0"])
def test_a_private_namespace_has_none_for_strangers(told, owner, path):
    private = {"visibility": "private"}
    told.client.patch("/v1/namespaces/acme", json=private, headers=owner)

    assert told.client.get(path).status_code == 404
    assert told.client.get(path, headers=owner).status_code == 200


def test_a_stream_begins_behind_what_was_seen(told, owner):
    everything = stream(told, owner, after=0)

    assert [event.id for event in everything] == [1, 2, 3, 4, 5, 6]
    assert everything[1].data == page(told, owner)["items"][1]
    assert [event.id for event in stream(told, after=0)] == [2, 6]
    assert [event.id for event in stream(told, {"Last-Event-ID": "2"})] == [6]
    assert stream(told, {"Last-Event-ID": "6"}, after=0) == []
    assert stream(told) == []


class Listener:
    """Calls an `EventStream` as a server does.

    Args:
        stuck: receive nothing after the head of the answer.
    """

    def __init__(self, *, stuck=False):
        self.text = ""
        self.stuck = stuck
        self.came = asyncio.Event()

    async def send(self, message):
        self.text += message.get("body", b"").decode()
        self.came.set()
        if self.stuck and "id:" in self.text:
            await asyncio.Event().wait()

    async def receive(self):
        await asyncio.Event().wait()

    async def until(self, words):
        async with asyncio.timeout(60):
            while words not in self.text:
                self.came.clear()
                await self.came.wait()

    @property
    def ids(self):
        return [event.id for event in sent_events(self.text.splitlines())]


def note(registry, kind=Kind.VERSION_YANKED):
    with registry.services.database.writing() as session:
        record(session, "acme", kind, by="tests")


async def listening(live, listener, *, after=6, seconds=600, **changes):
    """A listener's stream, as a task."""
    last = await live.last("acme")
    answer = EventStream(
        live,
        "acme",
        "somebody",
        after=after,
        last=last,
        everything=True,
        seconds=seconds,
    )
    for name, value in changes.items():
        setattr(answer, name, value)
    task = asyncio.create_task(answer({}, listener.receive, listener.send))
    await listener.until("retry:")
    return task


def with_live(registry, work):
    """Run something with a `Live` of its own."""

    async def run():
        live = Live(registry.services.database, limit=8)
        try:
            await work(live)
        finally:
            await live.close()
        assert live.rooms == {}
        assert live.callers == {}

    asyncio.run(run())


def test_what_happens_reaches_all_who_listen_once_and_in_order(told):
    async def work(live):
        listeners = [Listener(), Listener()]
        tasks = [await listening(live, one) for one in listeners]
        for _ in range(5):
            await asyncio.to_thread(note, told)
        for one in listeners:
            await one.until("id: 11")
        live.end()
        await asyncio.gather(*tasks)
        assert [one.ids for one in listeners] == [[7, 8, 9, 10, 11]] * 2

    with_live(told, work)


def test_who_was_away_for_longer_than_is_kept_misses_nothing(told, monkeypatch):
    monkeypatch.setattr(live_module, "READ_AT_ONCE", 2)

    async def work(live):
        first, second = Listener(), Listener()
        tasks = [await listening(live, first)]
        for _ in range(5):
            await asyncio.to_thread(note, told)
        await first.until("id: 11")
        live.rooms["acme"].kept.popleft()
        tasks.append(await listening(live, second, after=0))
        await second.until("id: 11")
        live.end()
        await asyncio.gather(*tasks)
        assert second.ids == list(range(1, 12))

    with_live(told, work)


def test_a_stream_ends_where_rights_may_have_changed(told):
    async def work(live):
        listener = Listener()
        task = await listening(live, listener)
        await asyncio.to_thread(note, told, Kind.MEMBER_REMOVED)
        async with asyncio.timeout(60):
            await task
        assert listener.ids == [7]

    with_live(told, work)


@pytest.mark.parametrize("ends", ["revoked", "expired"])
def test_a_stream_ends_with_the_token_that_began_it(told, ends):
    with told.services.database.writing() as session:
        account = user_account(session, "bob", operator=False, by="tests")
        wanted = WantedToken("laptop", Scope.READ, None, timedelta(days=1))
        _, token = create_token(session, account, wanted, now=utc_now(), by="tests")

    def end():
        with told.services.database.writing() as session:
            if ends == "revoked":
                account = find_account(session, "bob")
                assert revoke_all(session, account, now=utc_now(), by="tests") == 1
            else:
                clock.ahead = timedelta(days=1)

    async def work(live):
        live.clock = clock
        lost, stays = Listener(), Listener()
        ending = await listening(live, lost, token_id=token.id)
        staying = await listening(live, stays)
        await asyncio.to_thread(end)
        async with asyncio.timeout(60):
            await ending
        await asyncio.to_thread(note, told)
        await stays.until("id: 7")
        live.end()
        await staying
        assert [lost.ids, stays.ids] == [[], [7]]

    clock = Clock()
    with_live(told, work)


def test_who_loses_the_token_before_an_event_hears_nothing_of_it(told, monkeypatch):
    # Long enough for both to happen between two looks.
    monkeypatch.setattr(live_module, "POLL_SECONDS", 1.0)
    token = told.client.get("/v1/whoami", headers=told.auth).json()["token"]["id"]

    def end_and_note():
        with told.services.database.writing() as session:
            account = find_account(session, "tests")
            assert revoke_all(session, account, now=utc_now(), by="tests") == 1
            record(session, "acme", Kind.VERSION_YANKED, by="tests")

    async def work(live):
        listener = Listener()
        task = await listening(live, listener, token_id=UUID(token))
        await asyncio.to_thread(end_and_note)
        async with asyncio.timeout(60):
            await task
        assert listener.ids == []

    with_live(told, work)


def test_one_that_receives_nothing_is_cut_off_and_the_others_are_not(told):
    async def work(live):
        stuck, well = Listener(stuck=True), Listener()
        cut = await listening(live, stuck, send_seconds=0.1)
        task = await listening(live, well)
        await asyncio.to_thread(note, told)
        async with asyncio.timeout(60):
            await cut
        await asyncio.to_thread(note, told)
        await well.until("id: 8")
        live.end()
        await task
        assert stuck.ids == [7]
        assert well.ids == [7, 8]

    with_live(told, work)


def test_silence_is_broken_by_comments(told):
    async def work(live):
        listener = Listener()
        task = await listening(live, listener, heartbeat_seconds=0.01)
        await listener.until(":\n\n:\n\n")
        live.end()
        await task
        assert listener.ids == []

    with_live(told, work)


def test_one_caller_gets_a_quarter_of_the_room(told):
    async def work(live):
        tasks = [await listening(live, Listener()) for _ in range(2)]
        with pytest.raises(ProblemError, match="2 of at most 8 listen here"):
            live.check_room("somebody")
        live.check_room("somebody else")
        live.end()
        await asyncio.gather(*tasks)
        live.check_room("somebody")

    with_live(told, work)
