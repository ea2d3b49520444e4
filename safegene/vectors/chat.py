"""How prompts and responses become tokens: the same way everywhere.

Tuning, recalibration and evaluation must agree on the chat format, or they measure
different models.
"""

from typing import Any


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Token ids of a prompt, up to where the answer begins.

    Uses the tokenizer's chat template with its generation prompt; a tokenizer without
    a template gets the plain prompt and a line break.
    """
    if not tokenizer.chat_template:
        return list(tokenizer(f"{prompt}\n")["input_ids"])
    messages = [{"role": "user", "content": prompt}]
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return list(ids)


def encode_response(tokenizer: Any, response: str) -> list[int]:
    """Token ids of an answer, without any special tokens."""
    return list(tokenizer(response, add_special_tokens=False)["input_ids"])


def encode_pair(tokenizer: Any, prompt: str, response: str) -> tuple[list[int], int]:
    """Token ids of a prompt with its answer, and where the answer begins.

    The answer ends with the end-of-text token, which the model must learn to say.
    """
    head = encode_prompt(tokenizer, prompt)
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    return head + encode_response(tokenizer, response) + end, len(head)


def pad_id(tokenizer: Any) -> int:
    """The id that fills up batches: the padding token, else the end of text, else 0."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0
