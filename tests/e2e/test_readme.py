"""The README's five lines of Python, executed as they stand."""

import json
import re
from pathlib import Path

import pytest
from peft import LoraConfig, PeftModel, get_peft_model
from safegene_client import Registry
from support.models import save_pair
from support.registry_server import running_registry
from transformers import AutoModelForCausalLM

from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.peft_format import save_vector

README = Path(__file__).resolve().parents[2] / "README.md"


def session():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A pair of models, a task adapter and prompts, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAFEGENE_CACHE", str(tmp_path / "cache"))
    pair = save_pair(tmp_path)
    adapter = get_peft_model(
        AutoModelForCausalLM.from_pretrained(pair.aligned_dir),
        LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    )
    adapter.save_pretrained(tmp_path / "task")
    for name in ("harmful", "lookalike", "task"):
        rows = [
            {"prompt": f"{name} prompt {at}", "response": f"answer {at}"}
            for at in range(24)
        ]
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return pair


def test_the_five_lines_work_as_written(workplace, tmp_path):
    """A published vector is pulled, checked, recalibrated and applied."""
    vector = extract_safety_vector(
        Checkpoint.open(workplace.aligned_dir),
        Checkpoint.open(workplace.degraded_dir),
        rank=2,
    )
    save_vector(
        vector, tmp_path / "v", namespace="acme", name="refusal", version="1.0.0"
    )
    names = {
        "AutoModelForCausalLM": AutoModelForCausalLM,
        "PeftModel": PeftModel,
        "Registry": Registry,
        "BASE": str(workplace.aligned_dir),
        "TASK_ADAPTER": str(tmp_path / "task"),
        "HARMFUL": "harmful.jsonl",
        "LOOKALIKE": "lookalike.jsonl",
        "TASK": "task.jsonl",
    }
    with running_registry(tmp_path) as server:
        Registry(server.url, token=server.token).publish(tmp_path / "v")
        names["URL"] = server.url
        code = session()
        exec(compile(code, str(README), "exec"), names)
    assert names["calibration"].vector == "acme/refusal@1.0.0"
    assert any(module._forward_hooks for module in names["model"].modules())
    assert len(code.strip().splitlines()) == 5
