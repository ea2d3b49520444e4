import itertools

import pytest

from safegene.artifact.manifest import TENSORS_NAME
from safegene.artifact.segments import (
    changed_ranges,
    layer_index,
    segment_file,
    verify_segments,
)
from safegene.artifact.tensorwriter import write_tensor_file
from safegene.errors import SizeMismatchError, TensorFileError


def test_segments_tile_the_file_by_layer_number(vector_directory):
    path = vector_directory / TENSORS_NAME

    segments = segment_file(path)

    assert [segment.layers for segment in segments] == [(), *((n,) for n in range(11))]
    assert segments[0].offset == 0
    for before, after in itertools.pairwise(segments):
        assert before.offset + before.size == after.offset
    assert segments[-1].offset + segments[-1].size == path.stat().st_size
    verify_segments(path, segments)


def test_a_hotfix_to_three_layers_moves_three_layers(vector_directory):
    path = vector_directory / TENSORS_NAME
    old = segment_file(path)
    data = bytearray(path.read_bytes())
    for layer in (4, 5, 9):
        data[old[layer + 1].offset] ^= 1
    path.write_bytes(data)

    ranges = changed_ranges(old, segment_file(path))

    end = old[6].offset + old[6].size
    assert ranges == (
        (old[5].offset, end),
        (old[10].offset, old[10].offset + old[10].size),
    )


def test_nothing_changed_is_nothing_to_fetch(vector_directory):
    segments = segment_file(vector_directory / TENSORS_NAME)

    assert changed_ranges(segments, segments) == ()


def test_a_file_of_another_size_is_refused(vector_directory):
    path = vector_directory / TENSORS_NAME
    segments = segment_file(path)
    path.write_bytes(path.read_bytes() + b"x")

    with pytest.raises(SizeMismatchError, match=r"bytes, got \d+; .*fetch it again"):
        verify_segments(path, segments)


@pytest.mark.parametrize(
    "names", [["layers.2.a", "layers.1.a"], ["layers.1.a", "other"], ["x"]]
)
def test_layers_out_of_order_are_refused(tmp_path, names):
    path = tmp_path / "f"
    write_tensor_file(path, [(name, (1,), bytes(4)) for name in names])

    with pytest.raises(TensorFileError, match="rising"):
        segment_file(path)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("base_model.model.model.layers.12.mlp.up_proj.lora_A.weight", 12),
        ("gpt_neox.layers.3.attention.dense", 3),
        ("transformer.h.7.attn.c_attn", 7),
        ("lm_head.weight", None),
    ],
)
def test_the_layer_is_read_from_the_path(name, layer):
    assert layer_index(name) == layer
