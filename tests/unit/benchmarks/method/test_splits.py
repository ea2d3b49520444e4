"""The benchmark's data: where it is looked for, and splits that share no text."""

import pytest
from support.method_bench import write_data

from benchmarks.method.data import (
    MissingDataError,
    data_directory,
    load_data,
    normalized,
    overlaps,
    place_of,
)
from examples.demo.data import load_data as load_own_data

TASKS = ("ag_news",)


def texts(data, split):
    return {row.prompt for row in data.splits[split]}


def test_absent_data_is_said_with_what_to_do(tmp_path):
    with pytest.raises(MissingDataError, match="set SAFEGENE_DATA to the folder"):
        data_directory({"SAFEGENE_DATA": str(tmp_path)})


def test_the_folder_of_the_environment_is_taken(tmp_path):
    write_data(tmp_path)

    assert data_directory({"SAFEGENE_DATA": str(tmp_path)}) == tmp_path


def test_a_missing_file_is_named(tmp_path):
    write_data(tmp_path)
    (tmp_path / "task_ag_news_train.jsonl").unlink()

    with pytest.raises(MissingDataError, match="task_ag_news_train"):
        load_data(tmp_path, TASKS)


def test_splits_share_no_text_even_where_files_do(tmp_path):
    """The same words in every file, with other marks and case."""
    shared = [{"prompt": f"{word} ONE two, three!"} for word in "qrstuvw"]
    other = [
        {"prompt": f"{row['prompt'].lower()}  ", "response": "I can't help with that"}
        for row in shared
    ]
    data = load_data(
        write_data(
            tmp_path,
            harmful_xstest_unsafe=shared,
            harmful_malicious_instruct=other,
            refusal_pairs_safety_tuned_llamas=other,
            general_alpaca_3000=other,
            benign_pairs_coconot_contrast=other,
        ),
        TASKS,
    )

    assert list(overlaps(data)) == []
    assert {row["prompt"] for row in shared} <= texts(data, "test/xstest_unsafe")


def test_overlaps_are_found_where_there_are_some(tmp_path):
    data = load_data(write_data(tmp_path), TASKS)
    row = data.splits["drift/general"][0]
    spoiled = {**data.splits, "test/dolly": (*data.splits["test/dolly"], row)}

    assert list(overlaps(type(data)(spoiled))) == [("drift/general", "test/dolly", 1)]


def test_a_harmful_prompt_seen_in_the_pairs_is_no_test(tmp_path):
    seen = {
        "prompt": "never a test",
        "seen_in": ["refusal_pairs_safety_tuned_llamas"],
    }
    elsewhere = {"prompt": "still one", "seen_in": ["something_else"]}

    data = load_data(
        write_data(tmp_path, harmful_xstest_unsafe=[seen, elsewhere]), TASKS
    )

    assert "never a test" not in texts(data, "test/xstest_unsafe")
    assert "still one" in texts(data, "test/xstest_unsafe")


def test_near_duplicates_of_advbench_are_left_out_and_not_calibrated_on(tmp_path):
    twins = [
        {"prompt": "write a guide on how to do the bad thing"},
        {"prompt": "write a guide on how to do the very bad thing"},
    ]
    like = {"prompt": "Write the guide on how to do a bad thing", "response": "No."}

    data = load_data(
        write_data(
            tmp_path,
            harmful_advbench=twins,
            harmful_malicious_instruct=[like],
        ),
        TASKS,
    )

    assert len(texts(data, "test/advbench") & {row["prompt"] for row in twins}) == 1
    assert like["prompt"] not in texts(data, "calibration/malicious")


def test_counts_do_not_move_other_rows(tmp_path):
    """A row's split and place depend on its text, not on the file's other rows."""
    before = load_data(write_data(tmp_path / "a"), TASKS)
    more = [{"prompt": f"another {at}", "response": "some"} for at in range(20)]
    after = load_data(write_data(tmp_path / "b", general_dolly_1000=more), TASKS)

    for split, rows in before.splits.items():
        old = [row.prompt for row in after.splits[split] if "another" not in row.prompt]
        assert old == [row.prompt for row in rows]


def test_rows_that_are_not_fit_are_left_out(tmp_path):
    """Long ordinary prompts, answers like labels, pairs that do not refuse."""
    long = {"prompt": "word " * 200, "response": "an answer"}
    short = {"prompt": "yes or no", "response": "yes"}
    helpful = {"prompt": "not refused", "response": "Here is what you asked for."}

    data = load_data(
        write_data(
            tmp_path,
            general_alpaca_3000=[long, short],
            refusal_pairs_safety_tuned_llamas=[helpful],
        ),
        TASKS,
    )

    every = {row.prompt for rows in data.splits.values() for row in rows}
    assert not every & {long["prompt"], short["prompt"], helpful["prompt"]}


def test_own_prompts_fill_up_pools_and_are_no_tests(tmp_path):
    taken = {"prompt": load_own_data().rows["lookalike", "extraction"][0].prompt}

    data = load_data(write_data(tmp_path, benign_xstest_safe=[taken]), TASKS)

    assert len(data.splits["align/own_lookalike"]) > 200
    assert len(data.splits["calibration/own_harmful"]) > 50
    assert taken["prompt"] not in texts(data, "align/own_lookalike")


def test_taking_more_than_there_is_is_refused(tmp_path):
    data = load_data(write_data(tmp_path), TASKS)

    with pytest.raises(ValueError, match=r"test/xstest_safe holds 12 rows, 13 wanted"):
        data.take("test/xstest_safe", 13)


def test_draws_differ_as_long_as_there_are_rows(tmp_path):
    data = load_data(write_data(tmp_path), TASKS)
    draws = [
        {row.prompt for row in data.draw("test/xstest_unsafe", 5, number)}
        for number in range(3)
    ]

    assert all(len(drawn) == 5 for drawn in draws)
    assert not draws[0] & draws[1]
    assert len(draws[2] & draws[0]) == 3


def test_places_are_even_and_blind_to_marks():
    places = sorted(place_of(f"text {at}") for at in range(1000))

    assert place_of("Text, 1!") == place_of("text 1")
    assert normalized("  A-b\u00a0C ") == "a b c"
    assert all(abs(place - at / 1000) < 0.06 for at, place in enumerate(places))
