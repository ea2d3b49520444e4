"""Configs that nobody should write, and that come all the same."""

from hypothesis import strategies as st

from safegene.artifact.family import known_families, supported_types

ODD_NUMBERS = st.sampled_from(
    [0, -1, 1 << 31, 10**9, 10**4000, 1.5, float("nan"), float("inf")]
)
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=200) | ODD_NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=4,
)
FIELDS = sorted(
    {
        *("text_config", "architectures", "model", "_name_or_path", "auto_map"),
        *("num_experts", "vocab_size", "quantization_config"),
        *(
            rule.field
            for family in known_families().values()
            for rule in family.sizes.values()
            if rule.field
        ),
    }
)


@st.composite
def odd_configs(draw):
    """Known fields with senseless values, of known families and of none."""
    fields = draw(st.dictionaries(st.sampled_from(FIELDS), ODD_VALUES, max_size=8))
    return {
        **fields,
        "model_type": draw(st.sampled_from(supported_types()) | ODD_VALUES),
    }
