"""Commands about what is said of versions, and whose word counts."""

import os
from pathlib import Path
from typing import Any

import click

from safegene.artifact.attestation.predicates import (
    LOOKALIKE,
    CalibrationMade,
    Evaluation,
    Kind,
    Provenance,
    Said,
    YankStatement,
)
from safegene.errors import InvalidDataError, UsageError
from safegene_client.attestation_answers import AttestationEntry
from safegene_client.attesting import Attested, read_private_key, read_public_key
from safegene_client.cli.options import (
    FILE,
    Connect,
    InOrder,
    example,
    read_calibration,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, facts, table
from safegene_client.problems import plain_text

SHORT = 12
"""Hexadecimal digits of a digest that tables show."""

Rows = list[tuple[str, ...]]

DATE = 10
"""Characters of a time that are its date."""


@click.command(
    epilog=example(
        "safegene attest acme/guard@1.2.0 --evaluation report.json --sign key.pem",
        "safegene attest acme/guard@1.2.0 --calibration calibration.json",
    )
)
@click.argument("ref")
@click.option("--evaluation", type=FILE, help="What `evaluate` wrote.")
@click.option("--model", metavar="NAME", help="Which of a report's models.")
@click.option(
    "--against",
    metavar="SET",
    default=LOOKALIKE,
    show_default=True,
    help="Harmless prompts that J is taken on.",
)
@click.option("--calibration", type=FILE, help="What `recalibrate` wrote.")
@click.option("--provenance", type=FILE, help="JSON of where the version comes from.")
@click.option("--yank", metavar="REASON", help="Say that nobody should use it.")
@click.option("--sign", type=FILE, help="PEM of a private key on EC P-256.")
@with_registry
@with_output
def attest(
    output: Output,
    *,
    connect: Connect,
    ref: str,
    evaluation: Path | None,
    model: str | None,
    against: str,
    calibration: Path | None,
    provenance: Path | None,
    yank: str | None,
    sign: Path | None,
) -> None:
    """Say something of the version REF, under the name of the token's account.

    One of an evaluation, a calibration, its provenance or a yank statement; what was
    measured with another version is refused. The same again is a success. The password
    of an encrypted key is read from SAFEGENE_KEY_PASSWORD.
    """
    given = (evaluation, calibration, provenance, yank)
    if sum(each is not None for each in given) != 1:
        message = "give one of --evaluation, --calibration, --provenance and --yank"
        raise UsageError(message)
    password = os.environ.get("SAFEGENE_KEY_PASSWORD")
    key = None if sign is None else read_private_key(sign, password)
    measured: str | None = None
    said: Said
    if evaluation is not None:
        from safegene_client.measured import read_measured

        said, measured = read_measured(evaluation, model=model, against=against)
    elif calibration is not None:
        said = CalibrationMade(calibration=read_calibration(calibration))
    elif provenance is not None:
        said = _read_provenance(provenance)
    else:
        said = YankStatement.model_validate({"reason": yank})
    registry = connect()
    if measured is not None:
        manifest = registry.manifest(ref)
        if str(manifest.digest) != measured:
            message = (
                f"{evaluation} was measured with the version {measured}, and {ref} is"
                f" {manifest.digest}; attest the version that was measured"
            )
            raise InvalidDataError(message)
    entry = registry.attest(ref, said, key=key)
    output.result(entry.model_dump(mode="json"), facts(_told(entry)))


def _told(entry: AttestationEntry) -> list[tuple[str, str]]:
    return [
        ("attestation", entry.digest),
        ("says", plain_text(entry.kind)),
        ("by", plain_text(entry.account)),
        ("signed", entry.key_id or "no"),
        ("counts", "yes, trusted" if entry.trusted else "no, claimed"),
    ]


def _read_provenance(path: Path) -> Provenance:
    try:
        return Provenance.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path}: expected the JSON of a provenance: {error}"
        raise InvalidDataError(message) from None


@click.command(
    epilog=example(
        "safegene attestations acme/guard@1.2.0 --trusted",
        "safegene attestations acme/guard@1.2.0 --kind evaluation --json",
    )
)
@click.argument("ref")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    help="Only of this kind.",
)
@click.option("--evaluator", metavar="ACCOUNT", help="Only by this account.")
@click.option("--trusted", is_flag=True, help="Only what counts in the namespace.")
@click.option("--signed", is_flag=True, help="Only what somebody has signed.")
@with_registry
@with_output
def attestations(
    output: Output,
    *,
    connect: Connect,
    ref: str,
    kind: str | None,
    evaluator: str | None,
    trusted: bool,
    signed: bool,
) -> None:
    """List what was said of the version REF, the last one first.

    Each is proved: its bytes, that it is about this version, its signature. What the
    namespace trusts counts; all else is claimed.
    """
    found = connect().attestations(
        ref,
        kind=kind,
        evaluator=evaluator,
        trusted=True if trusted else None,
        signed=True if signed else None,
    )
    document = {
        "attestations": [
            {
                **one.entry.model_dump(mode="json"),
                "said": one.said.model_dump(mode="json", exclude_none=True),
            }
            for one in found
        ]
    }
    output.result(document, *_tables(found))


def _tables(found: list[Attested]) -> list[Any]:
    if not found:
        return ["nobody has said anything"]
    measured: Rows = [
        (*_who(one), plain_text(said.model), *_figures(said))
        for one in found
        if isinstance(said := one.said, Evaluation)
    ]
    made: Rows = [
        (*_who(one), *_gained(said))
        for one in found
        if isinstance(said := one.said, CalibrationMade)
    ]
    others: Rows = [
        (*_who(one), one.entry.kind, plain_text(_summary(one.said)))
        for one in found
        if isinstance(one.said, Provenance | YankStatement)
    ]
    who = ("BY", "WORD", "SIGNED", "DATE")
    figures = ("N", "J", "HARM", "OVER-REFUSAL", "AGAINST", "PROMPTS")
    tables: list[tuple[Rows, tuple[str, ...]]] = [
        (measured, (*who, "MODEL", *figures)),
        (made, (*who, "TARGET", "GAIN", "KL")),
        (others, (*who, "SAYS", "")),
    ]
    parts: list[Any] = []
    for rows, headings in tables:
        if rows:
            parts += [*([""] if parts else []), table(*headings, rows=rows)]
    return parts


def _who(one: Attested) -> tuple[str, str, str, str]:
    entry = one.entry
    return (
        plain_text(entry.account),
        "trusted" if entry.trusted else "claimed",
        "unsigned" if one.key_id is None else one.key_id.hex[:SHORT],
        plain_text(entry.posted_at)[:DATE],
    )


def _figures(said: Evaluation) -> tuple[str, ...]:
    prompts = said.prompts or ""
    return (
        f"{said.harm.n}+{said.over_refusal.n}",
        str(said.J),
        str(said.harm),
        str(said.over_refusal),
        said.against,
        prompts.removeprefix("sha256:")[:SHORT],
    )


def _gained(said: CalibrationMade) -> tuple[str, str, str]:
    made = said.calibration
    value, low, high = (
        float(text) for text in (made.gain.value, made.gain.low, made.gain.high)
    )
    target = made.target_fingerprint.removeprefix("sha256:")[:SHORT]
    gain = f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return target, gain, f"{float(made.realised_kl):.4f}"


def _summary(said: Said) -> str:
    if isinstance(said, Provenance):
        source = "" if said.source is None else f" from {said.source.name}"
        return f"built by {said.builder}{source}"
    return said.reason if isinstance(said, YankStatement) else ""


@click.group(
    cls=InOrder,
    epilog=example("safegene evaluator list acme"),
)
def evaluator() -> None:
    """Say whose attestations count in a namespace.

    Changing that takes an owner's token of scope admin.
    """


@evaluator.command("list", epilog=example("safegene evaluator list acme --json"))
@click.argument("namespace")
@with_registry
@with_output
def list_evaluators(output: Output, *, connect: Connect, namespace: str) -> None:
    """List whose attestations count in NAMESPACE."""
    found = connect().evaluators(namespace)
    rows = [
        (
            plain_text(one.name),
            plain_text(one.account or "anybody"),
            plain_text(one.key_id or "no signature needed"),
            plain_text(one.created_at)[:DATE],
        )
        for one in found
    ]
    output.result(
        {"evaluators": [one.model_dump(mode="json") for one in found]},
        table("NAME", "ACCOUNT", "KEY", "SINCE", rows=rows)
        if rows
        else "nobody is trusted",
    )


@evaluator.command(
    "trust",
    epilog=example("safegene evaluator trust acme lab --account lab --key lab.pub"),
)
@click.argument("namespace")
@click.argument("name")
@click.option("--account", help="Who has to have posted; anybody may without.")
@click.option("--key", type=FILE, help="PEM of the public key that has to have signed.")
@with_registry
@with_output
def trust_evaluator(
    output: Output,
    *,
    connect: Connect,
    namespace: str,
    name: str,
    account: str | None,
    key: Path | None,
) -> None:
    """Let attestations count in NAMESPACE, by an account, a key or both in one."""
    if account is None and key is None:
        message = "give --account, --key or both"
        raise UsageError(message)
    public_key = None if key is None else read_public_key(key)
    found = connect().trust_evaluator(
        namespace, name, account=account, public_key=public_key
    )
    output.result(found.model_dump(mode="json"), f"{name} counts in {namespace}")


@evaluator.command("distrust", epilog=example("safegene evaluator distrust acme lab"))
@click.argument("namespace")
@click.argument("name")
@with_registry
@with_output
def distrust_evaluator(
    output: Output, *, connect: Connect, namespace: str, name: str
) -> None:
    """Let them not count in NAMESPACE any more, at once."""
    connect().distrust_evaluator(namespace, name)
    output.result({"distrusted": name}, f"{name} does not count in {namespace}")
