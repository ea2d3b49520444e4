import json

import pytest

from safegene.errors import InvalidDataError
from safegene.evaluation.rows import PromptRow, prompts_of, read_rows, unique_keys


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def test_rows_are_read_in_order_with_all_they_carry(write):
    first = {"prompt": "a", "response": "b", "label": "c", "id": "d", "category": "e"}
    path = write(json.dumps(first) + "\n\n" + json.dumps({"prompt": "z", "more": 1}))

    rows = read_rows(path)

    assert rows == (PromptRow("a", "b", "c", "d", "e"), PromptRow("z"))
    assert prompts_of(rows) == ["a", "z"]


def test_a_byte_order_mark_and_exotic_line_ends_in_texts_are_read(write):
    path = write('\ufeff{"prompt": "one\u2028line"}\r\n'.encode())

    assert read_rows(path) == (PromptRow("one\u2028line"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "at least one row", id="empty file"),
        pytest.param("\n \n", "at least one row", id="only blank lines"),
        pytest.param('{"prompt": "a"}\n{oops', "line 2: expected a JSON", id="no JSON"),
        pytest.param('["a"]', "line 1: expected a JSON object, found list", id="list"),
        pytest.param(
            '{"text": "a"}', 'key "prompt" with text, found none', id="no key"
        ),
        pytest.param('{"prompt": " "}', "found an empty one", id="blank prompt"),
        pytest.param('{"prompt": 7}', 'text under "prompt", found int', id="number"),
        pytest.param('{"prompt": "a", "label": []}', 'under "label"', id="list label"),
        pytest.param(b'{"prompt": "\xff"}', "expected UTF-8 text", id="not UTF-8"),
        pytest.param(
            "[" * 100_000, "line 1: expected a JSON object", id="deep nesting"
        ),
        pytest.param(
            '{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}',
            "line 2: the id 'x' was used on line 1",
            id="repeated id",
        ),
    ],
)
def test_a_bad_file_is_refused_by_name_and_line(write, text, told):
    path = write(text)

    with pytest.raises(InvalidDataError) as caught:
        read_rows(path)

    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidDataError, match=r"gone\.jsonl: cannot be read: No such"):
        read_rows(tmp_path / "gone.jsonl")


def test_keys_come_from_the_row_or_from_its_prompt():
    assert PromptRow("hello", id="mine").key == "mine"
    assert PromptRow("hello").key == "2cf24dba5fb0a30e"


def test_repeated_prompts_get_keys_of_their_own():
    rows = [PromptRow("a", id="x"), PromptRow("b", id="y"), PromptRow("c", id="x")]

    assert unique_keys(rows) == ("x", "y", "x-2")
