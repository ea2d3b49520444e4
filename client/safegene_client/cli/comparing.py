"""What `evaluate --compare` is given: evaluation files, and models with vectors."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safegene.errors import InvalidDataError, UsageError
from safegene.evaluation.evaluation import Evaluation
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.rows import PromptRow, read_rows
from safegene_client.endpoint_judge import EndpointJudge

if TYPE_CHECKING:
    from safegene.evaluation.judge import Judge

JUDGES = "rules, hf:DIR_OR_ID or openai:URL#MODEL"


@dataclass(frozen=True)
class Entrant:
    """One model of a comparison."""

    name: str
    path: Path
    """An evaluation file, or a model's directory."""
    vector: str | None = None
    calibration: Path | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it is an evaluation that was made before."""
        return self.path.is_file()


def parse_entrants(texts: tuple[str, ...]) -> tuple[Entrant, ...]:
    """Read `[NAME=]FILE` and `[NAME=]DIR[+VECTOR[+CALIBRATION]]`.

    Raises:
        UsageError: there are fewer than two, or two of one name.
    """
    found = []
    for text in texts:
        given, equals, rest = text.partition("=")
        # A reference such as guard@~=1.0 has an equals sign of its own.
        named = bool(equals) and not set(given) & set("/+@~")
        path, *extras = (rest if named else text).split("+")
        name = given if named else Path(path).name.removesuffix(".json")
        vector = extras[0] if extras else None
        calibration = Path(extras[1]) if len(extras) > 1 else None
        found.append(Entrant(name, Path(path), vector, calibration))
    names = {entrant.name for entrant in found}
    if len(found) < 2 or len(names) < len(found):  # noqa: PLR2004 - a pair
        message = (
            "--compare needs at least two models, each of a name of its own: got"
            f" {', '.join(entrant.name for entrant in found) or 'none'};"
            " write NAME=PATH"
        )
        raise UsageError(message)
    return tuple(found)


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation file.

    Raises:
        InvalidDataError: it cannot be read, or is something else; names the file.
    """
    try:
        return Evaluation.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise InvalidDataError(message) from None
    except (InvalidDataError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        message = (
            f"{path}: {first}; --evaluations DIR writes such files, --out does not"
        )
        raise InvalidDataError(message) from error


def harmless_rows(
    texts: tuple[str, ...],
) -> tuple[tuple[PromptRow, ...], dict[str, tuple[PromptRow, ...]]]:
    """The look-alike set and the named ones beside it, from `FILE` and `NAME=FILE`.

    Raises:
        UsageError: not exactly one set has no name, or two have the same.
        InvalidDataError: a file cannot be read.
    """
    named: dict[str, Path] = {}
    plain = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).is_file():
            plain.append(Path(text))
        elif name in named:
            message = f"--lookalike: the name {name} was given twice"
            raise UsageError(message)
        else:
            named[name] = Path(path)
    if len(plain) != 1:
        message = (
            "--lookalike: expected one file without a name, which J is taken on, and"
            f" NAME=FILE for any further set; got {len(plain)} without"
        )
        raise UsageError(message)
    further = {name: read_rows(path) for name, path in named.items()}
    return read_rows(plain[0]), further


@contextmanager
def open_judges(
    texts: tuple[str, ...], labels: tuple[str, ...], device: str
) -> "Iterator[tuple[Judge, ...]]":
    """The judges that were asked for, their connections closed at the end.

    `rules` alone is none.

    Raises:
        UsageError: a judge or a label cannot be read, or there are more than two.
        InvalidDataError: a classifier cannot be loaded.
    """
    if len(texts) > 2 or "rules" in texts[1:]:  # noqa: PLR2004 - one and its rival
        message = (
            "--judge: one decides, a second is compared with it, rules come first or"
            f" by themselves; got {', '.join(texts)}"
        )
        raise UsageError(message)
    if texts[:1] == ("rules",) and len(texts) > 1:
        message = "--judge: name the other judge alone; it is compared with the rules"
        raise UsageError(message)
    with ExitStack() as kept:
        yield tuple(
            _judge(kept, each, labels, device) for each in texts if each != "rules"
        )


def _judge(kept: ExitStack, text: str, labels: tuple[str, ...], device: str) -> Any:
    kind, _, rest = text.partition(":")
    if kind == "openai" and "#" in rest:
        url, _, model = rest.rpartition("#")
        return kept.enter_context(closing(EndpointJudge(url, model)))
    if kind == "hf" and rest:
        from safegene.evaluation.classifier_judge import ClassifierJudge

        told = dict(_label(each) for each in labels)
        place = "cpu" if device == "auto" else device
        return ClassifierJudge.load(rest, labels=told or None, device=place)
    message = f"--judge: expected {JUDGES}, got {text}"
    raise UsageError(message)


def _label(text: str) -> tuple[str, Outcome]:
    name, _, word = text.rpartition("=")
    if not name or word not in set(Outcome):
        message = (
            f"--judge-label: expected LABEL=OUTCOME with one of {', '.join(Outcome)},"
            f" got {text}"
        )
        raise UsageError(message)
    return name, Outcome(word)
