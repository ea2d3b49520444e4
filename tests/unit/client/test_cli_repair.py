"""The commands that repair and measure a target: what they refuse, and what they take.

How they get on with a real registry is in tests/e2e.
"""

import json
from pathlib import Path

import pytest
from safegene_client.cli import main
from safegene_client.cli.options import write_whole
from safegene_client.pulled import PulledVector
from support.models import changed, random_vector, save_checkpoint, tiny_tokenizer
from support.safegene_command import rows_text

from safegene.artifact.calibration import Calibration
from safegene.errors import LocalStorageError
from safegene.vectors.peft_format import load_vector, save_vector
from safegene.vectors.recalibrate import Solver

ROWS = rows_text([{"prompt": f"prompt {at}", "label": "a"} for at in range(20)])


@pytest.fixture
def place(base, vector_directory, tmp_path, monkeypatch):
    """A target and prompts, in the current directory; `vector` is a vector's."""
    save_checkpoint(
        changed(base, scale=0.02), tmp_path / "target", tokenizer=tiny_tokenizer()
    )
    (tmp_path / "vector").symlink_to(vector_directory)
    for name in ("harmful", "lookalike", "task"):
        (tmp_path / f"{name}.jsonl").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PROMPTS = ("--harmful", "harmful.jsonl", "--lookalike", "lookalike.jsonl")
APPLY = ("apply", "./vector", "--model", "target", "--out", "adapter")
MERGE = ("merge", "./vector", "--model", "target", "--out", "merged")
EVALUATE = (
    *("evaluate", "--vector", "./vector", "--model", "target", *PROMPTS),
    *("--max-new-tokens", "2", "--out", "report.json"),
)


def failure(capsys, *arguments):
    """Run a command that has to fail: its exit code and its error."""
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)["error"]


def test_task_without_labels_is_refused_before_the_model_is_loaded(capsys, place):
    (place / "task.jsonl").write_text(rows_text([{"prompt": "unlabelled"}]))
    (place / "target" / "model.safetensors").write_bytes(b"cannot be loaded")

    code, error = failure(
        capsys, "evaluate", "--model", "target", *PROMPTS, "--task", "task.jsonl"
    )

    assert code == 2
    assert error["detail"].startswith("task row 1 (")
    assert 'a key "label"' in error["detail"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("inspect", "./vector"), id="inspect"),
        pytest.param(APPLY, id="apply"),
        pytest.param(EVALUATE, id="evaluate"),
    ],
)
def test_directory_needs_no_setting_of_the_registry(
    capsys, place, monkeypatch, command
):
    monkeypatch.setenv("SAFEGENE_URL", "foo")

    assert main([*command]) == 0
    capsys.readouterr()
    code, error = failure(capsys, "inspect", "acme/guard")
    assert code == 2
    assert error["detail"].startswith("SAFEGENE_URL: expected an address")


@pytest.mark.parametrize(
    ("command", "written"),
    [
        pytest.param(APPLY, "adapter", id="apply"),
        pytest.param(MERGE, "merged", id="merge"),
        pytest.param(EVALUATE, "report.json", id="evaluate"),
    ],
)
def test_negative_coefficients_need_a_word(
    capsys, place, calibration_for, command, written
):
    negated = calibration_for(
        PulledVector.open(place / "vector"), coefficients={"0": "-2", "1": "1"}
    )
    (place / "calibration.json").write_bytes(negated.to_bytes())
    command = (*command, "--calibration", "calibration.json")

    code, error = failure(capsys, *command)

    assert code == 2
    assert error["detail"].startswith("layer 0: expected a coefficient of at least 0")
    assert not (place / written).exists()
    assert main([*command, "--allow-negative"]) == 0
    assert (place / written).exists()


def test_model_at_a_path_too_long_for_an_adapter_is_refused(capsys, place):
    deep = Path(*["m" * 100] * 3)
    deep.parent.mkdir(parents=True)
    (place / "target").rename(deep)

    code, error = failure(
        capsys, "apply", "./vector", "--model", str(deep), "--out", "adapter"
    )

    assert (code, error["code"]) == (2, "usage")
    assert error["detail"].startswith("--model: expected 1 to 256 characters")


@pytest.mark.parametrize(
    ("data", "base_model", "told"),
    [
        pytest.param("harmful.jsonl", "m" * 257, "the base model's name", id="model"),
        pytest.param("two\nlines", "acme/base", "a data file's name", id="data"),
    ],
)
def test_names_that_no_manifest_can_hold_are_refused(
    capsys, place, data, base_model, told
):
    (place / data).write_text(ROWS)

    code, error = failure(
        capsys,
        *("extract", "--aligned", "target", "--degraded", "target", "--out", "v"),
        *("--name", "acme/v", "--version", "1", "--base-model", base_model),
        *("--harmful", data, "--lookalike", "lookalike.jsonl"),
    )

    assert (code, error["code"]) == (2, "usage")
    assert error["detail"].startswith(f"{told}: expected 1 to 256 characters")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(
            ("recalibrate", "./vector", *PROMPTS, "--task", "task.jsonl"),
            "--out",
            id="recalibrate",
        ),
        pytest.param(("evaluate", *PROMPTS), "--out", id="evaluate"),
        pytest.param(("evaluate", *PROMPTS), "--html", id="page"),
        pytest.param(("apply", "./vector"), "--out", id="apply"),
        pytest.param(("merge", "./vector"), "--out", id="merge"),
    ],
)
def test_place_that_cannot_be_written_is_refused_before_the_work(
    capsys, place, command, option
):
    (place / "file").write_text("in the way")
    (place / "target" / "model.safetensors").write_bytes(b"cannot be loaded")

    code, error = failure(capsys, *command, "--model", "target", option, "file/out")

    assert (code, error["code"]) == (1, "local-storage")
    assert error["detail"].startswith("cannot write file/out: Not a directory; choose")
    assert "SAFEGENE_CACHE" not in error["detail"]


def test_result_that_could_not_be_written_after_all_is_told_by_its_place(place):
    (place / "out").mkdir()

    with pytest.raises(LocalStorageError) as caught:
        write_whole(place / "out", b"x")

    assert caught.value.detail.startswith(f"{place / 'out'}: Is a directory; ")
    assert "choose another place" in caught.value.detail
    assert "SAFEGENE_CACHE" not in caught.value.detail
    assert not (place / ".out.part").exists()


@pytest.mark.parametrize("granularity", ["layer", "module"])
@pytest.mark.parametrize("solver", ["trust-region", "adam"])
def test_recalibrate_reports_on_a_page_that_loads_nothing(place, granularity, solver):
    command = ("recalibrate", "./vector", "--model", "target", *PROMPTS)
    command = (*command, "--task", "task.jsonl", "--lookalike-weight", "2")
    how = ("--granularity", granularity, "--solver", solver)

    code = main([*command, *how, "--out", "c.json", "--html", "c.html"])

    found = Calibration.from_bytes((place / "c.json").read_bytes())
    page = (place / "c.html").read_text()
    assert code == 0
    recorded = Solver.parse(solver).recorded
    assert (found.granularity, found.solver) == (granularity, recorded)
    assert found.objective.lookalike_weight == "2"
    assert f"Coefficients by {granularity}" in page
    assert "J against calibration KL" in page
    assert ("95 % intervals" in page) == (solver == "trust-region")
    assert page.count("<circle") >= 2
    for outside in ("http://", "https://", "<script", "src="):
        assert outside not in page.replace("http://www.w3.org", "")


def test_recalibrate_reads_as_many_prompts_as_the_effort_says(place):
    for name in ("harmful", "lookalike", "task"):
        rows = [{"prompt": f"{name} {at}", "response": "a"} for at in range(60)]
        (place / f"{name}.jsonl").write_text(rows_text(rows))
    command = ("recalibrate", "./vector", "--model", "target", *PROMPTS)
    command = (*command, "--task", "task.jsonl")

    assert main([*command, "--out", "normal.json"]) == 0
    assert main([*command, "--effort", "quick", "--out", "quick.json"]) == 0

    normal, quick = (
        Calibration.from_bytes((place / name).read_bytes())
        for name in ("normal.json", "quick.json")
    )
    assert quick.samples == normal.samples
    assert quick.forward_equivalents < normal.forward_equivalents


def test_coefficients_by_module_are_applied_and_merged(place):
    command = ("recalibrate", "./vector", "--model", "target", *PROMPTS)
    command = (*command, "--task", "task.jsonl", "--budget", "1", "--out", "c.json")
    assert main([*command, "--granularity", "module"]) == 0

    assert main([*APPLY, "--calibration", "c.json"]) == 0
    assert main([*MERGE, "--calibration", "c.json"]) == 0

    assert (place / "adapter" / "adapter_model.safetensors").exists()
    assert (place / "merged" / "model.safetensors").exists()


def test_select_writes_another_version_with_the_layers_kept(capsys, place):
    command = ("select", "./vector", "--model", "target", "--by", "random")
    command = (*command, "--keep", "1", "--version", "1.1.0", "--out", "fewer")

    assert main([*command, "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    vector = load_vector(place / "fewer")
    assert told["identity"] == vector.identity == "acme/guard@1.1.0"
    assert list(vector.layers) == told["layers"]
    assert len(vector.layers) == 1
    assert vector.recipe.parameters["selected_by"] == "random"


@pytest.mark.parametrize("by", ["contrast", "score"])
def test_select_ranks_on_prompts(capsys, place, by):
    files = (*PROMPTS, "--task", "task.jsonl", "--keep", "1")

    code = main(
        [
            *("select", "./vector", "--model", "target", "--by", by),
            *(*files, "--version", "2", "--out", "fewer", "--json"),
        ]
    )

    assert code == 0
    assert set(json.loads(capsys.readouterr().out)["scores"]) == {"0", "1"}


def test_select_names_the_prompts_it_lacks(capsys, place):
    (place / "target" / "model.safetensors").write_bytes(b"cannot be loaded")
    command = ("select", "./vector", "--model", "target", "--by", "score")

    code, error = failure(capsys, *command, *PROMPTS, "--version", "2", "--out", "v")

    assert code == 2
    assert error["detail"].startswith("--by score needs --task")


def test_recalibrate_finds_negative_coefficients_on_request_only(place, base):
    # The other way around in a layer, which only a negative coefficient puts right.
    turned = random_vector(base).scaled({0: 1.0, 1: -1.0}, allow_negative=True)
    save_vector(turned, place / "turned", namespace="a", name="b", version="1")
    command = ("recalibrate", "./turned", "--model", "target", *PROMPTS)
    command = (*command, "--task", "task.jsonl", "--budget", "1")

    assert main([*command, "--out", "plain.json"]) == 0
    assert main([*command, "--allow-negative", "--out", "negated.json"]) == 0

    plain, negated = (
        Calibration.from_bytes((place / name).read_bytes()).by_layer.values()
        for name in ("plain.json", "negated.json")
    )
    assert min(plain) >= 0 > min(negated)
