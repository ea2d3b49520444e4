from hypothesis import given
from hypothesis import strategies as st

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.nearest import distance, nearest_first


def sized(model_type="llama", *, hidden=32, layers=4, ffn=48, kv_heads=2):
    return architecture_from_config(
        {
            "model_type": model_type,
            "hidden_size": hidden,
            "intermediate_size": ffn,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": kv_heads,
            "head_dim": 8,
        }
    )


ORDER = [
    sized(),
    sized(kv_heads=4),
    sized(kv_heads=4, ffn=64),
    sized(layers=5),
    sized(layers=8),
    sized(hidden=64),
    sized(hidden=64, layers=5),
    sized("qwen2"),
    sized("qwen2", layers=8),
    sized("mistral", hidden=64),
]
"""From the first one's point of view."""


@given(st.permutations(ORDER))
def test_the_most_alike_come_first_in_whatever_order_they_come(shuffled):
    assert nearest_first(ORDER[0], shuffled) == ORDER


@given(st.sampled_from(ORDER), st.sampled_from(ORDER))
def test_only_the_structure_itself_is_at_no_distance(first, second):
    there, back = distance(first, second), distance(second, first)

    assert there[:-1] == back[:-1]
    assert (not any(there[:-1])) == (first == second)
