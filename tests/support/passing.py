"""The client's requests, passed on to a registry in this process.

So a test can have accounts and tokens of every kind, and the client a real server.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from support.registry_app import AppRegistry
from support.scripted_server import Got, Reply, ScriptedServer, scripted_server

KEPT = ("authorization", "content-type", "range", "if-none-match")


@contextmanager
def passed_on(registry: AppRegistry) -> Iterator[ScriptedServer]:
    """A server that has the registry answer.

    Files are not sent: for those it would need the registry's own server.
    """

    def pass_on(got: Got) -> Reply:
        answer = registry.client.request(
            got.method,
            got.path,
            params=got.query,
            content=got.body,
            headers={name: got.headers[name] for name in KEPT if name in got.headers},
        )
        media = answer.headers.get("content-type")
        headers = {"Content-Type": media} if media else {}
        return Reply(answer.status_code, answer.content, headers)

    with scripted_server(pass_on) as server:
        yield server
