"""Models the demo asks the registry about: one that fits, and others that do not."""

from typing import Any

from safegene.evaluation.report import CompatibilityRow


def other_models(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Configurations that the vector must not fit, by what they are."""
    return {
        "a GPT-NeoX model of the same width": {
            "model_type": "gpt_neox",
            "hidden_size": config["hidden_size"],
            "intermediate_size": config["intermediate_size"],
            "num_hidden_layers": config["num_hidden_layers"],
            "num_attention_heads": config["num_attention_heads"],
        },
        "a Llama model of half the depth": {
            **config,
            "num_hidden_layers": config["num_hidden_layers"] // 2,
        },
    }


def ask(registry: Any, models: dict[str, dict[str, Any]]) -> list[CompatibilityRow]:
    """Ask the registry what fits each model, and why the nearest vector does not."""
    rows = []
    for name, config in models.items():
        answer = registry.compatible(config)
        nearest = (*answer.fits, *answer.others)
        level = nearest[0].level if nearest else "incompatible"
        reasons = answer.reasons or (nearest[0].reasons if nearest else ())
        rows.append(
            CompatibilityRow(
                model=name,
                level=str(level),
                fits=bool(answer.fits),
                reasons=tuple(reason.detail for reason in reasons),
            )
        )
    return rows
