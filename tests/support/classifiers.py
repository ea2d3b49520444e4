"""A tiny random sequence classifier, to judge answers with."""

from collections.abc import Sequence
from pathlib import Path

import torch
from support.models import tiny_tokenizer
from transformers import BertConfig, BertForSequenceClassification


def save_classifier(
    directory: Path,
    labels: Sequence[str] = ("Non-Refusal", "Refusal"),
    weight: float | None = None,
) -> Path:
    """Write a classifier with these labels, its last weights all alike if given."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        vocab_size=264,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        initializer_range=1.0,
    )
    model = BertForSequenceClassification(config)
    if weight is not None:
        with torch.no_grad():
            model.classifier.weight.fill_(weight)
    model.save_pretrained(directory)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(directory)
    return directory
