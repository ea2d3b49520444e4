"""The card of a version: its README.md, written from the manifest's facts.

The same facts give the same bytes. Measured figures are not on the card; they come as
attestations and change without a new version.
"""

from collections.abc import Mapping
from typing import Any


def write_card(facts: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        facts: the fields of a `Manifest`, its files apart.
    """
    identity = f"{facts['namespace']}/{facts['name']}"
    base, architecture, recipe = (
        facts["base_model"],
        facts["architecture"],
        facts["recipe"],
    )
    touched = sorted({path.rpartition(".")[2] for path in facts["footprint"]})
    selected = [str(layer.index) for layer in facts["layers"] if layer.selected]
    data = [f"- `{d.name}`: {d.rows} rows, `{d.digest}`" for d in recipe.data]
    parameters = [
        f"- {key}: {value}" for key, value in sorted(recipe.parameters.items())
    ]
    lines = [
        "---",
        "library_name: peft",
        f"license: {str(facts['license']).lower()}",
        f"base_model: {base.id}",
        "tags:",
        "- safegene",
        "- safety-vector",
        "- lora",
        "---",
        "",
        f"# {identity} {facts['version']}",
        "",
        str(facts["description"]) or "A safety vector.",
        "",
        "A safety vector gives back the safety that fine-tuning took from a model of"
        " this family.",
        "",
        "## Fits",
        "",
        f"Models that descend from `{base.id}` (revision `{base.revision}`):"
        f" {architecture.model_type}, {architecture.layers} layers, hidden size"
        f" {architecture.hidden_size}.",
        "",
        f"Fingerprint: `{architecture.fingerprint}`",
        "",
        "## Use",
        "",
        "```sh",
        f"safegene pull {identity}@{facts['version']} --model YOUR_MODEL",
        "```",
        "",
        "The directory is also a plain PEFT LoRA adapter. Calibrate it for your model"
        " before you rely on it.",
        "",
        "## Made",
        "",
        f"- method: {recipe.method}, rank {recipe.rank} (stored at {facts['rank']})",
        f"- degraded model: `{recipe.degraded_model.id}` (revision"
        f" `{recipe.degraded_model.revision}`)",
        f"- modules: {', '.join(touched)}",
        f"- layers: {', '.join(selected)}",
        f"- tool: {recipe.tool}",
        *parameters,
        *data,
        "",
        "## License",
        "",
        str(facts["license"]),
        "",
    ]
    return "\n".join(lines)
