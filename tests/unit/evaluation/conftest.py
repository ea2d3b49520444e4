"""A tiny model that learned a few answers by heart."""

import pytest
from support.learned import LEARNED, Learned, learn


@pytest.fixture(scope="session")
def learned() -> Learned:
    """A model that answers six prompts as it should."""
    return learn(LEARNED)
