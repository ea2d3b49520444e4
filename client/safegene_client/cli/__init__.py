"""The `safegene` command: the same verbs as the SDK, and the ones that run models.

`main` is the only place that catches everything: it turns exceptions into a sentence
and an exit code. Answering `--help` loads no torch.
"""

import os
import sys
from collections.abc import Sequence

import click

from safegene import __version__
from safegene_client.cli.advisories import advisories, advisory
from safegene_client.cli.aliases import alias
from safegene_client.cli.attesting import attest, attestations, evaluator
from safegene_client.cli.compatible import compatible
from safegene_client.cli.deprecation import deprecate, undeprecate
from safegene_client.cli.errors import (
    DONE,
    FAILED,
    INTERRUPTED,
    error_document,
    exit_code,
    sentence,
)
from safegene_client.cli.evaluation import evaluate
from safegene_client.cli.extraction import extract
from safegene_client.cli.frontier import frontier
from safegene_client.cli.happenings import events, webhooks
from safegene_client.cli.identity import exchange
from safegene_client.cli.importing import import_adapter
from safegene_client.cli.keys import keys
from safegene_client.cli.options import InOrder, example
from safegene_client.cli.output import (
    print_document,
    print_error,
    print_talk,
    print_traceback,
)
from safegene_client.cli.promotion import approve, policy
from safegene_client.cli.purging import purge
from safegene_client.cli.recalibration import recalibrate
from safegene_client.cli.registry import inspect, pull, push
from safegene_client.cli.repair import apply, merge
from safegene_client.cli.search import search
from safegene_client.cli.selection import select
from safegene_client.cli.yanking import unyank, yank

__all__ = ["cli", "main"]


@click.group(
    cls=InOrder,
    epilog=example(
        "safegene compatible ./my-model",
        "safegene pull acme/guard@~=1.0 --model ./my-model",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="safegene")
def cli() -> None:
    """Safety as a package for fine-tuned language models.

    A safety vector is extracted once for a model family and published; every
    fine-tuned model of the family pulls it, recalibrates it and applies it.

    Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 authentication,
    5 integrity or compatibility, 6 registry unreachable, 130 interrupted.
    """


for command in (
    extract,
    import_adapter,
    inspect,
    push,
    search,
    compatible,
    pull,
    select,
    recalibrate,
    apply,
    merge,
    evaluate,
    frontier,
    exchange,
    yank,
    unyank,
    deprecate,
    undeprecate,
    purge,
    alias,
    policy,
    approve,
    advisories,
    advisory,
    events,
    webhooks,
    attest,
    attestations,
    keys,
    evaluator,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(given, prog_name="safegene", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one edge
        return _failed(error, given)
    return code if isinstance(code, int) else DONE


def _failed(error: BaseException, given: Sequence[str]) -> int:
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone, as `| head` does; what is left in the
        # buffer must not fail a second time when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print_talk(sentence(error))
        return exit_code(error)
    code = exit_code(error)
    if "--json" in given:
        print_document(error_document(error))
    print_error(sentence(error))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        print_talk(f"see {error.ctx.command_path} --help")
    if code != INTERRUPTED and any(
        part.startswith("-v") or part == "--verbose" for part in given
    ):
        print_traceback()
    return code
