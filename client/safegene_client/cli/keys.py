"""Commands about keys."""

import os
from pathlib import Path

import click

from safegene.errors import UsageError
from safegene_client.cli.options import InOrder, example, with_output
from safegene_client.cli.output import Output, facts
from safegene_client.keys import new_key_pair
from safegene_client.problems import plain_text

NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=InOrder, epilog=example("safegene keys new key.pem"))
def keys() -> None:
    """Make keys that sign what is said of versions."""


@keys.command(
    "new",
    epilog=example(
        "safegene keys new key.pem",
        "safegene evaluator trust acme lab --key key.pub",
    ),
)
@click.argument("key", type=NEW_FILE)
@click.option(
    "--public", type=NEW_FILE, help="File of the public key; else KEY's, as .pub."
)
@click.option(
    "--encrypt", is_flag=True, help="Under the password in SAFEGENE_KEY_PASSWORD."
)
@with_output
def new_keys(output: Output, *, key: Path, public: Path | None, encrypt: bool) -> None:
    """Make a private key on EC P-256 in the file KEY, and its public key beside it.

    KEY is for `attest --sign`: nobody else may read it. The public key is to give away,
    for `evaluator trust --key`. No file is ever overwritten.
    """
    password = os.environ.get("SAFEGENE_KEY_PASSWORD") if encrypt else None
    if encrypt and not password:
        message = "--encrypt takes a password in SAFEGENE_KEY_PASSWORD; set that first"
        raise UsageError(message)
    made = new_key_pair(key, public, password=password)
    document = {
        "private_key": str(made.private),
        "public_key": str(made.public),
        "key_id": str(made.key_id),
    }
    told = [
        ("private key", plain_text(document["private_key"])),
        ("public key", plain_text(document["public_key"])),
        ("key id", document["key_id"]),
    ]
    output.result(document, facts(told))
