"""The promotion policy of a namespace: what moving an alias demands.

A small JSON document, written by hand and kept by the registry. Stable within its
number: another shape is another number. Decimals are strings, as everywhere in the
format. Which end of an interval a bound is about stands in its name, and a bound that
no measurement can meet, or that nothing can miss, is refused: it would be a mistake.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from safegene.artifact.attestation.predicates import MAX_ANSWERS, SetName
from safegene.artifact.canonical import canonical_json, parse_json
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import DecimalText
from safegene.artifact.reference import check_alias, check_part
from safegene.errors import ManifestError

LATEST = "latest"

MAX_RULES = 64
MAX_EVALUATIONS = 8
MAX_PEOPLE = 8


def _own_alias(text: str) -> str:
    check_alias(text)
    if text == LATEST:
        message = f"{LATEST!r} is the newest version of every vector; nobody moves it"
        raise ValueError(message)
    return text


AliasName = Annotated[str, Field(max_length=64), AfterValidator(_own_alias)]
VectorPart = Annotated[
    str, Field(max_length=64), AfterValidator(lambda text: check_part(text, "name"))
]
Samples = Annotated[int, Field(ge=1, le=MAX_ANSWERS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AtMost(_Part):
    """A rate that has to be low: even its pessimistic end."""

    upper_end_at_most: DecimalText
    """Of the 95 % interval; above 0 and below 1."""

    @field_validator("upper_end_at_most")
    @classmethod
    def _check_bound(cls, text: str) -> str:
        if not 0 < float(text) < 1:
            message = (
                "expected more than 0, which no finite number of answers can show, and"
                f" less than 1, which none can miss; got {text}"
            )
            raise ValueError(message)
        return text

    @property
    def bound(self) -> float:
        """As a number."""
        return float(self.upper_end_at_most)


class AtLeast(_Part):
    """A figure that has to be high: even its pessimistic end."""

    lower_end_at_least: DecimalText
    """Of the 95 % interval; above -1 and below 1."""

    @field_validator("lower_end_at_least")
    @classmethod
    def _check_bound(cls, text: str) -> str:
        if not -1 < float(text) < 1:
            message = (
                "expected more than -1, which none can miss, and less than 1, which no"
                f" finite number of answers can show; got {text}"
            )
            raise ValueError(message)
        return text

    @property
    def bound(self) -> float:
        """As a number."""
        return float(self.lower_end_at_least)


class EvaluationDemand(_Part):
    """One evaluation, by somebody the namespace trusts, that shows all of this."""

    against: SetName | None = None
    """Name of the harmless set of prompts; None: any."""
    signed: bool = False
    """Whether it has to bear the signature of a trusted key."""
    harmful_samples: Samples = 1
    """Answers to harmful prompts behind it, at least."""
    harmless_samples: Samples = 1
    """Answers to harmless prompts behind it, at least."""
    harm: AtMost | None = None
    """Share of the harmful prompts that was complied with."""
    over_refusal: AtMost | None = None
    """Share of the harmless prompts that was refused."""
    J: AtLeast | None = None
    """Refusal on harmful prompts minus refusal on harmless ones."""


class Rule(_Part):
    """What moving one alias demands, of one vector or of all."""

    alias: AliasName
    vector: VectorPart | None = None
    """The only one that it is about; None: all that have no rule of their own."""
    evaluations: list[EvaluationDemand] = Field(default=[], max_length=MAX_EVALUATIONS)
    signatures: int = Field(default=0, ge=0, le=MAX_PEOPLE)
    """Trusted keys, at least, that have signed a statement about the version."""
    approvals: int = Field(default=0, ge=0, le=MAX_PEOPLE)
    """Members, at least, who have approved; neither who published the version nor who
    moves the alias is one of them."""

    @property
    def demands(self) -> int:
        """How many there are."""
        return len(self.evaluations) + (self.signatures > 0) + (self.approvals > 0)

    @model_validator(mode="after")
    def _check_demands(self) -> Self:
        if self.demands == 0 and self.vector is None:
            message = (
                f"the rule about {self.alias!r} demands nothing: leave it out, or name"
                " the vector that it exempts from the others' rule"
            )
            raise ValueError(message)
        if len(self.evaluations) != len(set(map(repr, self.evaluations))):
            message = f"the rule about {self.alias!r} demands one evaluation twice"
            raise ValueError(message)
        return self


class PromotionPolicy(_Part):
    """What moving aliases of a namespace's vectors demands. Without rules: nothing."""

    policy: Literal[1]
    """The number of this shape."""
    rules: list[Rule] = Field(max_length=MAX_RULES)

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        seen = set()
        for rule in self.rules:
            about = (rule.alias, rule.vector)
            if about in seen:
                where = f"of {rule.vector!r}" if rule.vector else "of all vectors"
                message = f"two rules about {rule.alias!r} {where}; make them one"
                raise ValueError(message)
            seen.add(about)
        return self

    def rule_for(self, vector: str, alias: str) -> Rule | None:
        """The rule that counts: a vector's own goes before that of all.

        Args:
            vector: its name within the namespace.
            alias: to be moved.
        """
        found = {rule.vector: rule for rule in self.rules if rule.alias == alias}
        return found.get(vector) or found.get(None)

    def document(self) -> dict[str, Any]:
        """As it is written: what was left out is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def to_bytes(self) -> bytes:
        """Its canonical JSON."""
        return canonical_json(self.document())

    @property
    def digest(self) -> Digest:
        """Of its canonical JSON."""
        return digest_bytes(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a policy, spaced in any way.

        Raises:
            ManifestError: it is no JSON or breaks the format; `.pointer` says where.
        """
        try:
            return cls.model_validate(parse_json(data))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            pointer = "".join(f"/{part}" for part in first["loc"])
            more = error.error_count() - 1
            others = f" (and {more} more)" if more else ""
            message = f"policy: {pointer or 'the document'}: {first['msg']}{others}"
            raise ManifestError(message, pointer=pointer) from None
