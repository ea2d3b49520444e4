"""The tokenizer beside a model is noted, whatever it is, and never decides."""

import json

import pytest
from safegene_client.targets import describe_model
from safegene_client.tokenizer_notes import MAX_BYTES, tokenizer_notes
from support.models import random_vector, save_checkpoint, tiny_model, tiny_tokenizer

from safegene.artifact.compatibility import Level
from safegene.artifact.digest import digest_bytes


def noted(place, config=None, template=None):
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        (place / "tokenizer_config.json").write_text(text)
    if template is not None:
        (place / "chat_template.jinja").write_text(template)
    return tokenizer_notes(place)


def note_of(template):
    short = str(digest_bytes(template.encode()))[: len("sha256:") + 12]
    return f"chat_template: {short}, {len(template)} characters"


def test_a_saved_model_is_noted_with_its_template_and_fits_all_the_same(tmp_path):
    model = tiny_model()
    vector = random_vector(model)
    directory = save_checkpoint(model, tmp_path, tokenizer=tiny_tokenizer())

    verdict = describe_model(directory).verdict(vector.architecture, vector.sketch)

    assert verdict.level is Level.EXACT
    assert note_of(tiny_tokenizer().chat_template) in verdict.notes
    assert any(note.startswith("tokenizer_class: ") for note in verdict.notes)


def test_no_tokenizer_is_noted_and_fits_all_the_same(tmp_path):
    model = tiny_model()
    vector = random_vector(model)
    directory = save_checkpoint(model, tmp_path)

    verdict = describe_model(directory).verdict(vector.architecture, vector.sketch)

    assert verdict.level is Level.EXACT
    assert "tokenizer: none beside the model; recalibrating needs one" in verdict.notes


@pytest.mark.parametrize(
    ("config", "template", "note"),
    [
        ({"chat_template": "in the config"}, None, note_of("in the config")),
        ({"chat_template": "older"}, "in a file", note_of("in a file")),
        (
            {
                "chat_template": [
                    {"name": "tool_use", "template": "x"},
                    {"name": "default", "template": "the default"},
                ]
            },
            *(None, note_of("the default")),
        ),
        ({"chat_template": "\ud800"}, None, "chat_template: sha256:"),
        ({}, None, "chat_template: none; prompts are put to the model as plain text"),
        ({"chat_template": ["x"]}, None, "chat_template: none"),
        ({"chat_template": 7}, None, "chat_template: none"),
        ("[]", None, "tokenizer: cannot be read: tokenizer_config.json is no object"),
        ("{", None, "tokenizer: cannot be read: Expecting property name"),
        ("[" * 100_000, None, "tokenizer: cannot be read: "),
    ],
)
def test_the_template_is_the_one_that_transformers_takes(
    tmp_path, config, template, note
):
    assert noted(tmp_path, config, template)[-1].startswith(note)


def test_a_tokenizer_without_a_config_has_no_template(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")

    assert [note.partition(":")[0] for note in noted(tmp_path)] == ["chat_template"]


def test_files_that_cannot_be_a_tokenizers_are_not_read(tmp_path):
    with (tmp_path / "tokenizer_config.json").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)

    (note,) = noted(tmp_path)

    assert note == (
        f"tokenizer: cannot be read: tokenizer_config.json has more than {MAX_BYTES}"
        " bytes"
    )
