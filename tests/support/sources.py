"""Where our source files are, in a checkout and beside an installed wheel alike."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from support.source_rules import Source

PACKAGES = ("safegene", "safegene_client", "safegene_registry")
ROOT = Path(__file__).resolve().parents[2]


def package_directory(name: str) -> Path:
    """The directory of an import package."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent


def package_sources() -> Iterator[Source]:
    """The three packages and the migrations, which a wheel has within one of them."""
    migrations = package_directory("safegene_registry") / "migrations"
    for name in PACKAGES:
        for source in _sources(package_directory(name), PurePosixPath(name)):
            if "migrations" not in source.path.parts:
                yield source
    if not migrations.is_dir():
        migrations = ROOT / "migrations"
    yield from _sources(migrations, PurePosixPath("migrations"))


def other_sources() -> Iterator[Source]:
    """Tests, examples, benchmarks and scripts."""
    for name in ("tests", "examples", "benchmarks", "scripts"):
        yield from _sources(ROOT / name, PurePosixPath(name))


def _sources(directory: Path, label: PurePosixPath) -> Iterator[Source]:
    for path in sorted(directory.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield Source(label / path.relative_to(directory).as_posix(), text)
