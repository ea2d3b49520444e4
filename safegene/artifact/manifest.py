"""The manifest: everything two machines must agree on about one version.

Frozen pydantic models whose canonical JSON is `safegene.json`. The digest of those
bytes is the version's digest. No timestamps and no floats: the same inputs give the
same bytes on every machine. Format 1 is stable.
"""

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from safegene.artifact.architecture import Architecture
from safegene.artifact.canonical import canonical_json, check_canonical, parse_json
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.reference import VectorName, canonical_version, check_part
from safegene.errors import ManifestError, UnsupportedFormatError, UsageError

FORMAT: Literal[1] = 1

MANIFEST_NAME = "safegene.json"
CONFIG_NAME = "adapter_config.json"
TENSORS_NAME = "adapter_model.safetensors"
LINEAGE_NAME = "lineage.safetensors"
CARD_NAME = "README.md"

FILE_NAMES = (CARD_NAME, CONFIG_NAME, TENSORS_NAME, LINEAGE_NAME)
"""The files of a version besides the manifest, in the manifest's order."""

SERVABLE_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that serving stacks take: vLLM's list of maximal LoRA ranks."""

MAX_FILE_BYTES = 1 << 40

_SHOWN = 40
"""Characters of a wrong name that its error shows."""


def _digest_text(text: str) -> str:
    return str(Digest.parse(text))


def _canonical(text: str) -> str:
    canonical = canonical_version(text)
    if canonical != text:
        message = f"expected the canonical spelling {canonical!r}, got {text!r}"
        raise ValueError(message)
    return text


DigestText = Annotated[str, AfterValidator(_digest_text)]
DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?(e-?[0-9]{1,3})?$")]
Part = Annotated[str, AfterValidator(lambda text: check_part(text, "name"))]
Size = Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
Text = Annotated[str, Field(max_length=4096)]
Line = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]+$")]


_LINE: TypeAdapter[str] = TypeAdapter(Line)


def checked_line(text: str, what: str) -> str:
    """A name that a manifest can hold, checked before any work is done for it.

    Args:
        text: the name.
        what: to call it in the error.

    Raises:
        UsageError: it is empty, longer than 256 characters or holds control characters.
    """
    try:
        return _LINE.validate_python(text)
    except ValidationError:
        shown = f"{text[:_SHOWN]!r}{'…' if len(text) > _SHOWN else ''}"
        message = (
            f"{what}: expected 1 to 256 characters without line breaks, got"
            f" {len(text)} in {shown}; choose a shorter or plainer one"
        )
        raise UsageError(message) from None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseModelRef(_Part):
    """An upstream model at one state of its weights."""

    id: Line
    """Model id as on the Hugging Face Hub, or a plain name."""
    revision: Line
    """Commit, or the digest of the weight files where there is no commit."""


class Segment(_Part):
    """A byte range of a tensor file, with its own digest."""

    offset: Size
    size: Size
    digest: DigestText
    layers: tuple[int, ...]
    """Layers whose factors lie in the range; empty for the header."""


class FileEntry(_Part):
    """One file of the version."""

    path: Literal[
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "lineage.safetensors",
    ]
    size: Size
    digest: DigestText
    segments: tuple[Segment, ...] | None = None
    """Ranges that tile the file; for the tensor file only."""


class DataEntry(_Part):
    """A data set that took part in making something, by digest, never by content."""

    name: Line
    digest: DigestText
    rows: int = Field(ge=0)


class Recipe(_Part):
    """How the vector was made, completely enough to make it again."""

    method: Line
    rank: int = Field(ge=1)
    seed: int
    parameters: dict[str, str]
    degraded_model: BaseModelRef
    data: tuple[DataEntry, ...]
    tool: Line


class LayerEntry(_Part):
    """What selection found for one layer."""

    index: int = Field(ge=0)
    selected: bool
    score: DecimalText | None = None


class Manifest(_Part):
    """One immutable version of a safety vector."""

    format: Literal[1] = FORMAT
    namespace: Part
    name: Part
    version: Annotated[str, AfterValidator(_canonical)]
    description: Text = ""
    license: Line
    base_model: BaseModelRef
    architecture: Architecture
    footprint: tuple[str, ...] = Field(min_length=1)
    """Paths of the modules the vector touches, in model order."""
    rank: int
    """The one rank of every module's factors."""
    recipe: Recipe
    layers: tuple[LayerEntry, ...]
    files: tuple[FileEntry, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.rank not in SERVABLE_RANKS:
            _fail(f"rank: expected one of {SERVABLE_RANKS}, got {self.rank}")
        if tuple(entry.path for entry in self.files) != FILE_NAMES:
            _fail(f"files: expected exactly {', '.join(FILE_NAMES)} in this order")
        self._check_footprint()
        indexes = [entry.index for entry in self.layers]
        if indexes != sorted(set(indexes)) or (
            indexes and indexes[-1] >= self.architecture.layers
        ):
            _fail("layers: expected rising layer numbers of the architecture")
        for entry in self.files:
            _check_segments(entry)
        return self

    def _check_footprint(self) -> None:
        order = {module.path: at for at, module in enumerate(self.architecture.modules)}
        places = [order.get(path) for path in self.footprint]
        unknown = [
            p for p, at in zip(self.footprint, places, strict=True) if at is None
        ]
        if unknown:
            _fail(f"footprint: the architecture has no module {unknown[0]}")
        known = [at for at in places if at is not None]
        if known != sorted(set(known)):
            _fail("footprint: expected distinct modules in model order")

    @cached_property
    def content(self) -> bytes:
        """The exact bytes of `safegene.json`."""
        return canonical_json(self.model_dump(mode="json"))

    def to_bytes(self) -> bytes:
        """The exact bytes of `safegene.json`; `from_bytes` reads them back."""
        return self.content

    @cached_property
    def digest(self) -> Digest:
        """The version's digest."""
        return digest_bytes(self.content)

    @property
    def vector(self) -> VectorName:
        """The vector this is a version of."""
        return VectorName(self.namespace, self.name)

    @property
    def identity(self) -> str:
        """`namespace/name@version`, for people and for calibrations."""
        return f"{self.vector}@{self.version}"

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together, the manifest apart."""
        return sum(entry.size for entry in self.files)

    def file(self, path: str) -> FileEntry:
        """The entry of a file.

        Raises:
            ManifestError: the version has no such file.
        """
        for entry in self.files:
            if entry.path == path:
                return entry
        message = (
            f"{self.identity} has no file {path!r}; it has {', '.join(FILE_NAMES)}"
        )
        raise ManifestError(message, pointer="/files")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read `safegene.json`; only canonical bytes are accepted.

        Raises:
            ManifestError: it breaks the format; `.pointer` says where.
            UnsupportedFormatError: another format number than this release reads.
        """
        # What is no manifest at all is refused first: to write it anew in canonical
        # form, in order to compare, takes a hundred times as long.
        value = parse_json(data)
        _check_format(value)
        try:
            manifest = cls.model_validate(value)
        except ValidationError as error:
            raise _manifest_error(error) from None
        if manifest.content != data:
            check_canonical(value, data)
            message = "manifest: fields that have defaults must be written out"
            raise ManifestError(message)
        return manifest


def _check_format(value: Any) -> None:
    if not isinstance(value, dict):
        message = f"manifest: expected an object, got {type(value).__name__}"
        raise ManifestError(message)
    number = value.get("format")
    if number != FORMAT or isinstance(number, bool):
        message = (
            f"manifest: format {number!r} cannot be read, this release reads {FORMAT};"
            " update safegene or ask the publisher"
        )
        raise UnsupportedFormatError(message, version=number)


def _manifest_error(error: ValidationError) -> ManifestError:
    first = error.errors(include_url=False)[0]
    pointer = "".join(f"/{part}" for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    return ManifestError(
        f"manifest: {pointer or 'document'}: {reason}", pointer=pointer
    )


def _check_segments(entry: FileEntry) -> None:
    wanted = entry.path == TENSORS_NAME
    if wanted != (entry.segments is not None):
        _fail(f"files: segments belong to {TENSORS_NAME} and to no other file")
    end = 0
    for segment in entry.segments or ():
        if segment.offset != end:
            _fail(f"segments: expected offset {end}, got {segment.offset}")
        end += segment.size
    if wanted and end != entry.size:
        _fail(f"segments: expected to end at {entry.size}, got {end}")


def _fail(message: str) -> None:
    raise ValueError(message)
