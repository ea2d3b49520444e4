"""Chat formatting: prompts open the answer, answers end with the end-of-text token."""

from support.models import tiny_tokenizer

from safegene.vectors.chat import encode_pair, encode_prompt, pad_id


def test_prompt_uses_the_chat_template_up_to_the_answer():
    tokenizer = tiny_tokenizer()

    ids = encode_prompt(tokenizer, "Hé?")

    assert tokenizer.decode(ids) == (
        "<|im_start|>user\nHé?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_prompt_without_a_template_is_plain_text_and_a_line_break():
    tokenizer = tiny_tokenizer(chat=False)

    assert tokenizer.decode(encode_prompt(tokenizer, "Hé?")) == "Hé?\n"


def test_pair_is_the_prompt_then_the_answer_then_the_end_token():
    tokenizer = tiny_tokenizer()

    ids, start = encode_pair(tokenizer, "Hi", "No.")

    assert ids[:start] == encode_prompt(tokenizer, "Hi")
    assert tokenizer.decode(ids[start:-1]) == "No."
    assert ids[-1] == tokenizer.eos_token_id


def test_empty_prompt_and_answer_still_make_a_pair():
    tokenizer = tiny_tokenizer()

    ids, start = encode_pair(tokenizer, "", "")

    assert ids[start:] == [tokenizer.eos_token_id]
    assert start == len(encode_prompt(tokenizer, ""))


def test_padding_falls_back_to_the_end_token_and_then_to_zero():
    tokenizer = tiny_tokenizer()

    assert pad_id(tokenizer) == tokenizer.pad_token_id
    tokenizer.pad_token = None
    assert pad_id(tokenizer) == tokenizer.eos_token_id
    tokenizer.eos_token = None
    assert pad_id(tokenizer) == 0
