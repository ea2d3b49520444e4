"""Who comes first into a namespace owns it; who comes at the same time does not."""

import threading

from safegene_registry.access import Visibility
from safegene_registry.membership import create_namespace
from safegene_registry.models import Account
from sqlalchemy import select, text
from support.registry_app import app_registry
from support.versions import write_version


def test_a_namespace_made_in_the_middle_of_a_publication_is_its_makers(tmp_path, parts):
    """The publisher has seen that there is none, and was allowed to make it."""
    with app_registry(tmp_path / "data", **parts) as registry:
        registry.token_of("other")
        upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
        answers = []
        publisher = threading.Thread(
            target=lambda: answers.append(registry.complete(upload))
        )

        with registry.services.database.writing() as session:
            owner = session.scalars(
                select(Account).where(Account.name == "other")
            ).one()
            create_namespace(
                session,
                "acme",
                owner=owner,
                visibility=Visibility.PRIVATE,
                quota_bytes=None,
                by="a test",
            )
            publisher.start()
            # Long enough to get as far as the namespace on a busy machine.
            publisher.join(timeout=5)
            waiting = publisher.is_alive()
        publisher.join()

        with registry.services.database.reading() as session:
            published = session.scalar(text("SELECT count(*) FROM versions"))
    assert waiting
    assert answers[0].status_code == 404
    assert published == 0
