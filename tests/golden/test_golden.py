from pathlib import Path

import pytest

from safegene.artifact.bundle import verify_directory

HERE = Path(__file__).resolve().parent
PINNED = {
    "v1/refusal": (
        "sha256:4ba7e2b16049a11181a423496b7891eb14b8752aa66328c4c283fb4dd5885d7c"
    ),
}


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_released_format_still_loads_with_its_digest(name):
    manifest = verify_directory(HERE / name)

    assert str(manifest.digest) == PINNED[name]
    assert manifest.to_bytes() == (HERE / name / "safegene.json").read_bytes()


def test_every_golden_vector_is_pinned():
    found = {
        str(path.parent.relative_to(HERE)) for path in HERE.glob("v*/*/safegene.json")
    }

    assert found == set(PINNED)
