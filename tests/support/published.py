"""What published models say of their sizes in `config.json`, and what they omit."""

_PLAIN = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)


def _config(model_type, sizes, kv_heads=None, head_dim=None, **more):
    """What a family says that names its sizes as most do.

    Args:
        model_type: of the family.
        sizes: as in `_PLAIN`.
        kv_heads: heads of keys and values, where it says so.
        head_dim: width of a head, where it says so.
        more: what else it says.
    """
    fields = dict(zip(_PLAIN, sizes, strict=True))
    # The end of a text is a token of any vocabulary; published ones have others.
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    heads = {"num_key_value_heads": kv_heads, "head_dim": head_dim}
    said = {name: value for name, value in heads.items() if value is not None}
    return {"model_type": model_type, **fields, **ends, **said, **more}


def _gpt2(width, layers, heads):
    sizes = {"n_embd": width, "n_layer": layers, "n_head": heads}
    return {"model_type": "gpt2", "vocab_size": 50257, "n_ctx": 1024, **sizes}


TIED = {"tie_word_embeddings": True}
PUBLISHED = {
    "SmolLM2-135M": _config("llama", (576, 1536, 30, 9, 49152), 3, **TIED),
    "Llama-7B": _config("llama", (4096, 11008, 32, 32, 32000)),
    "Llama-3.2-1B": _config(
        *("llama", (2048, 8192, 16, 32, 128256), 8, 64),
        **TIED,
        attention_bias=False,
        mlp_bias=False,
    ),
    "Llama-3.1-405B": _config(
        *("llama", (16384, 53248, 126, 128, 128256), 8),
        attention_bias=False,
        mlp_bias=False,
    ),
    "Mistral-7B-v0.1": _config(
        *("mistral", (4096, 14336, 32, 32, 32000), 8),
        sliding_window=4096,
    ),
    "Mistral-Nemo": _config(
        *("mistral", (5120, 14336, 40, 32, 131072), 8, 128),
        sliding_window=None,
    ),
    "Qwen2.5-0.5B": _config(
        *("qwen2", (896, 4864, 24, 14, 151936), 2),
        **TIED,
        use_sliding_window=False,
    ),
    "Qwen2.5-7B": _config("qwen2", (3584, 18944, 28, 28, 152064), 4),
    "Qwen3-0.6B": _config(
        *("qwen3", (1024, 3072, 28, 16, 151936), 8, 128),
        **TIED,
        attention_bias=False,
    ),
    "Qwen3-8B": _config(
        *("qwen3", (4096, 12288, 36, 32, 151936), 8, 128),
        attention_bias=False,
    ),
    "gemma-2-2b": _config("gemma2", (2304, 9216, 26, 8, 256000), 4, 256),
    "gemma-2-27b": _config("gemma2", (4608, 36864, 46, 32, 256000), 16, 128),
    "gemma-3-270m": _config(
        "gemma3_text", (640, 2048, 18, 4, 262144), 1, 256, sliding_window=512
    ),
    "gemma-3-1b": _config(
        *("gemma3_text", (1152, 6912, 26, 4, 262144), 1, 256),
        sliding_window=512,
        sliding_window_pattern=6,
    ),
    "Phi-3-mini": _config("phi3", (3072, 8192, 32, 32, 32064), 32, sliding_window=2047),
    "Phi-3-medium": _config("phi3", (5120, 17920, 40, 40, 32064), 10),
    "Phi-4-mini": _config(
        *("phi3", (3072, 8192, 32, 24, 200064), 8),
        **TIED,
        partial_rotary_factor=0.75,
    ),
    "pythia-70m": _config("gpt_neox", (512, 2048, 6, 8, 50304)),
    "gpt-neox-20b": _config("gpt_neox", (6144, 24576, 44, 64, 50432)),
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-xl": _gpt2(1600, 48, 25),
    "GLM-4-9B-0414": _config(
        *("glm4", (4096, 13696, 40, 32, 151552), 2, 128),
        attention_bias=True,
    ),
    "GLM-4-9B without biases": _config(
        *("glm4", (4096, 13696, 40, 32, 151552), 2, 128),
        attention_bias=False,
    ),
    "OLMo-2-1B": _config(
        *("olmo2", (2048, 8192, 16, 16, 100352), 16),
        attention_bias=False,
    ),
    "OLMo-2-32B": _config(
        *("olmo2", (5120, 27648, 64, 40, 100352), 8),
        attention_bias=False,
    ),
    "SmolLM3-3B": _config(
        *("smollm3", (2048, 11008, 36, 16, 128256), 4),
        **TIED,
        attention_bias=False,
        mlp_bias=False,
        no_rope_layer_interval=4,
        no_rope_layers=[1, 1, 1, 0] * 9,
    ),
    "SmolLM3-3B, every layer with RoPE": _config(
        *("smollm3", (2048, 11008, 36, 16, 128256), 4),
        no_rope_layers=[1] * 36,
    ),
}
"""By the model's name; the oracle builds each in full width and depth."""
