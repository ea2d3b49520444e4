"""Says which extra is missing instead of which module."""

from collections.abc import Iterator
from contextlib import contextmanager

from safegene.errors import UsageError

TORCH_MODULES = frozenset(
    {
        *(
            "cma",
            "huggingface_hub",
            "jaxtyping",
            "numpy",
            "peft",
            "safetensors",
            "tokenizers",
        ),
        *("torch", "transformers"),
    }
)


@contextmanager
def torch_needed() -> Iterator[None]:
    """Turn a failed import of the block into a sentence on what to install.

    Raises:
        UsageError: the `torch` extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in TORCH_MODULES:
            raise
        message = (
            f"this needs the torch extra ({missing} is not installed):"
            " pip install 'safegene[torch]'"
        )
        raise UsageError(message) from error
