"""The models and the vector of the demo, each made once and kept by content."""

from dataclasses import asdict, dataclass
from pathlib import Path

from examples.demo.base_model import GGUF_NAME, MODEL_ID, package_directory
from examples.demo.cache import Result, StepCache, source_digest
from examples.demo.console import Console
from examples.demo.data import DATA, SETS, DemoData
from examples.demo.models import (
    compute_dtype,
    make_aligned,
    make_shipped,
    make_task_adapter,
)
from examples.demo.recipe import VECTOR_NAME, VECTOR_VERSION, Recipe
from safegene.artifact.digest import digest_file
from safegene.artifact.manifest import DataEntry
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.peft_format import save_vector

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "safegene"
ALIGNED_ID = "safegene-demo/SmolLM2-135M-aligned"


@dataclass(frozen=True)
class Story:
    """Makes what the demo needs; every method is a cached step."""

    recipe: Recipe
    data: DemoData
    cache: StepCache
    console: Console

    def shipped(self) -> Result:
        """The model as it is shipped; it plays the degraded one."""
        digest, _ = digest_file(package_directory() / GGUF_NAME)
        inputs = {"gguf": str(digest), "code": source_digest(HERE / "base_model.py")}
        return self.cache.run("shipped", inputs, make_shipped)

    def aligned(self, shipped: Result) -> Result:
        """The shipped model, tuned on safe answers and look-alike harmless pairs."""
        harmful, lookalike, general = self.recipe.align_rows
        rows = (
            *self.data.take("harmful", "extraction", harmful),
            *self.data.take("lookalike", "extraction", lookalike),
            *self.data.take("general", "extraction", general),
        )
        return self.cache.run(
            "aligned",
            self._tuning_inputs(shipped, self.recipe.align, rows),
            lambda out: make_aligned(
                out,
                shipped.directory,
                rows,
                self.recipe.align,
                self.console.progress,
            ),
        )

    def target(self, aligned: Result) -> Result:
        """A task adapter on the aligned model; this is what loses safety."""
        task, general, support = self.recipe.task_rows
        rows = (
            *self.data.take("tickets", "train", task),
            *self.data.take("general", "extraction", general),
            *self.data.take("support", "train", support),
        )
        return self.cache.run(
            "target",
            self._tuning_inputs(aligned, self.recipe.task, rows),
            lambda out: make_task_adapter(
                out,
                aligned.directory,
                rows,
                self.recipe.task,
                self.console.progress,
            ),
        )

    def vector(self, aligned: Result, shipped: Result) -> Result:
        """The published thing: low-rank factors of aligned minus shipped."""
        inputs = {
            "aligned": aligned.key,
            "shipped": shipped.key,
            "rank": self.recipe.rank,
            "code": source_digest(CORE / "artifact", CORE / "vectors"),
        }
        return self.cache.run(
            "vector", inputs, lambda out: self._extract(out, aligned, shipped)
        )

    def _extract(self, out: Path, aligned: Result, shipped: Result) -> None:
        vector = extract_safety_vector(
            Checkpoint.open(aligned.directory, model_id=ALIGNED_ID),
            Checkpoint.open(shipped.directory, model_id=MODEL_ID),
            rank=self.recipe.rank,
            data=[_entry(name) for name in SETS[:3]],
            progress=lambda done, all_: self.console.progress("module", done, all_),
        )
        namespace, _, name = VECTOR_NAME.partition("/")
        save_vector(
            vector,
            out / "vector",
            namespace=namespace,
            name=name,
            version=VECTOR_VERSION,
            description="Declines harmful requests, answers look-alike harmless ones.",
        )

    def _tuning_inputs(
        self, start: Result, tuning: object, rows: object
    ) -> dict[str, object]:
        return {
            "start": start.key,
            "tuning": asdict(tuning),  # type: ignore[call-overload]
            "rows": repr(rows),
            "dtype": str(compute_dtype()),
            "code": source_digest(
                HERE / "tuning.py", HERE / "models.py", CORE / "vectors" / "chat.py"
            ),
        }


def _entry(name: str) -> DataEntry:
    path = DATA / f"{name}.jsonl"
    rows = len(path.read_text(encoding="utf-8").splitlines())
    return DataEntry(name=name, digest=str(digest_file(path)[0]), rows=rows)
