"""Projects a vector out of what benign and task prompts make the model feel.

Every touched module's A is freed of the directions that its inputs have on benign
prompts: A ← A (I - V Vᵀ). What is guaranteed, and no more: on the *span of the
calibration activations* the projected update is zero. If it is zero at every touched
module for every token of a prompt, then, layer by layer, the whole model's output on
that prompt is what it was without the vector. With an energy below 1, for another
prompt, or in another model the guarantee does not hold; the update is then small only
as far as the inputs lie in that span.

Shape suffixes: O out features, I in features, R rank, M tokens of a batch.

Source:
    The projection of weight changes onto the null space of activations is AlphaEdit's
    (arXiv 2410.02355); here A alone is projected, which keeps the rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from safegene.artifact.calibration import decimal_text
from safegene.artifact.manifest import DataEntry
from safegene.errors import InvalidDataError, NonFiniteTensorError, UsageError
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair, encode_prompt
from safegene.vectors.distill.settings import entry_of
from safegene.vectors.factors import LowRankFactors, refactored
from safegene.vectors.inputs import InputReader, Progress
from safegene.vectors.recalibrate.forward import TokenRow, common_beginning, steady
from safegene.vectors.targets import find_modules
from safegene.vectors.vector import SafetyVector

LEAST_PROMPTS = 16
"""Different prompts of a kind, below which their span says too little."""
MEMORY_BYTES = 1 << 30
"""For second moments; modules beyond it wait for another pass over the prompts."""
PRECISE_ABOVE = 0.9999
"""Energy above which float32 products are too coarse to tell what is left."""
LEAST_SURVIVING = 1e-3
"""Share of the safety signal below which nothing of the vector is left."""


def project_out(
    vector: SafetyVector,
    model: Any,
    tokenizer: Any,
    *,
    benign: Sequence[PromptRow],
    harmful: Sequence[PromptRow],
    energy: float = 0.99,
    batch_size: int = 8,
    entries: Sequence[DataEntry] | None = None,
    progress: Progress | None = None,
) -> SafetyVector:
    """The vector without what benign and task prompts would feel of it.

    The energy of a module's inputs is spread over the eigenvectors of their second
    moment, every token scaled to norm 1 first: a few tokens, such as the first one,
    have activations hundreds of times larger, and would be all that counts. So at most
    1 - energy of a benign token's squared norm is left, on average.

    How much safety signal survives is recorded in the recipe, overall and by layer: the
    norm of A (I - V Vᵀ) x relative to A x, over the tokens that harmful prompts do not
    share with each other. Costs a forward pass over the benign prompts (several, if the
    second moments do not fit a gigabyte), one over the harmful ones, and the
    eigenvectors of one matrix [in, in] for every input that modules read.

    Args:
        vector: stays as it is.
        model: whose activations count: the degraded model, or the target if the vector
            is for it alone. Nothing attached; it is left as it was.
        tokenizer: the model's.
        benign: benign and task prompts. Where a row has a response, its tokens count,
            too: without them the answer's own activations are not in the span.
        harmful: prompts that the safety signal is measured on.
        energy: share of the inputs' energy to project out, above 0, at most 1. With 1
            all directions above rounding noise go.
        batch_size: prompts run together.
        entries: digests for the manifest; those of the rows without.
        progress: called with prompts done and all prompts, every pass counted.

    Raises:
        UsageError: the energy is not above 0 and at most 1, or less than a thousandth
            of the safety signal is left.
        InvalidDataError: fewer than 16 different prompts of a kind.
        CompatibilityError: the model has another structure.
        NonFiniteTensorError: activations hold NaN or infinity.
    """
    if not 0 < energy <= 1:
        message = f"projection: expected an energy above 0 and at most 1, got {energy}"
        raise UsageError(message)
    for name, rows in (("benign", benign), ("harmful", harmful)):
        _check_count(name, rows)
    modules = {
        path: module
        for path, module in find_modules(model, vector).items()
        if vector.layer_of(path) in vector.layers
    }
    texts, asked = (
        [_tokens(tokenizer, row) for row in rows] for rows in (benign, harmful)
    )
    with steady(model), torch.no_grad():
        reader = InputReader(model, batch_size, progress)
        shared = reader.shared_inputs(texts[0], modules)
        groups = _passes(shared, vector)
        reader.total = len(groups) * len(benign) + len(harmful)
        spans: dict[str, Tensor] = {}
        for group in groups:
            read = {path: modules[path] for path in group}
            for path, span_IE in _spans(reader, read, texts, energy).items():
                spans |= dict.fromkeys(shared[path], span_IE)
        projected = {
            path: _without(vector.factors[path], spans[path]) for path in modules
        }
        signal = _signal(reader, modules, vector, projected, asked)
    if not signal.share() > LEAST_SURVIVING:
        message = (
            f"projection: {signal.share():.2g} of the safety signal is left, expected"
            f" more than {LEAST_SURVIVING}: benign prompts span all that the vector"
            f" reads; lower the energy ({energy}) or give fewer benign prompts"
        )
        raise UsageError(message)
    if entries is None:
        entries = (
            entry_of("projection benign", benign),
            entry_of("projection harmful", harmful),
        )
    parameters = {
        "projection_energy": decimal_text(energy),
        "projected_directions_by_layer": _directions(spans, vector),
        **signal.parameters(),
    }
    return _recorded(vector, projected, parameters, entries)


def leading_span(moment_II: Tensor, energy: float, module: str) -> Tensor:
    """Eigenvectors [I, E] of a second moment that hold a share of its trace.

    Args:
        moment_II: symmetric, positive semidefinite.
        energy: share of the trace, above 0 and at most 1.
        module: name for errors.

    Raises:
        NonFiniteTensorError: the moment holds NaN or infinity.
    """
    if not bool(torch.isfinite(moment_II).all()):
        message = f"{module}: its inputs hold NaN or infinity on the benign prompts"
        raise NonFiniteTensorError(message, module=module)
    values_I, vectors_II = torch.linalg.eigh(moment_II.double())
    # Largest first.
    values_I, vectors_II = values_I.flip(0).clamp_min(0), vectors_II.flip(1)
    noise = float(values_I[0]) * len(values_I) * torch.finfo(torch.float64).eps
    real = int((values_I > noise).sum())
    reached_I = values_I.cumsum(0) >= energy * values_I.sum()
    # With energy 1 rounding decides where the sum is reached; noise does not count.
    enough = int((~reached_I).sum()) + 1 if energy < 1 else real
    span_IE: Tensor = vectors_II[:, : min(enough, real)]
    return span_IE


@dataclass(frozen=True)
class _Signal:
    """Squared norms of A x on harmful prompts, by layer, without and with V Vᵀ out."""

    before: dict[int, float]
    after: dict[int, float]

    def share(self) -> float:
        """Norm of what survives by norm of what was there, over all layers."""
        return _share(sum(self.after.values()), sum(self.before.values()))

    def parameters(self) -> dict[str, str]:
        layers = (
            f"{layer}: {decimal_text(_share(self.after[layer], before))}"
            for layer, before in sorted(self.before.items())
        )
        return {
            "surviving_signal": decimal_text(self.share()),
            "surviving_signal_by_layer": ", ".join(layers),
        }


def _share(after: float, before: float) -> float:
    return float((after / before) ** 0.5) if before > 0 else 0.0


def _check_count(name: str, rows: Sequence[PromptRow]) -> None:
    count = len({row.prompt for row in rows})
    if count < LEAST_PROMPTS:
        detail = (
            f"projection needs at least {LEAST_PROMPTS} different {name} prompts, got"
            f" {count}; some hundred are advised"
        )
        raise InvalidDataError(detail, **{name: count})


def _tokens(tokenizer: Any, row: PromptRow) -> list[int]:
    if row.response:
        return encode_pair(tokenizer, row.prompt, row.response)[0]
    return encode_prompt(tokenizer, row.prompt)


def _passes(
    shared: Mapping[str, Sequence[str]], vector: SafetyVector
) -> list[list[str]]:
    """Modules, one for each input, whose second moments fit the memory together."""
    groups: list[list[str]] = []
    used = MEMORY_BYTES
    for path in shared:
        size = vector.factors[path].a_RI.shape[1] ** 2 * torch.float64.itemsize
        if used + size > MEMORY_BYTES:
            groups.append([])
            used = 0
        groups[-1].append(path)
        used += size
    return groups


def _spans(
    reader: InputReader,
    modules: Mapping[str, nn.Module],
    texts: Sequence[Sequence[int]],
    energy: float,
) -> dict[str, Tensor]:
    """What each module's inputs span, on the CPU."""
    moments = _second_moments(reader, modules, texts, precise=energy > PRECISE_ABOVE)
    # Each moment is let go once it is read: the next one's eigenvectors need its room.
    return {
        path: leading_span(moments.pop(path), energy, path).cpu() for path in modules
    }


def _second_moments(
    reader: InputReader,
    modules: Mapping[str, nn.Module],
    texts: Sequence[Sequence[int]],
    *,
    precise: bool,
) -> dict[str, Tensor]:
    """Sum over tokens of x xᵀ, [I, I] in float64, every x of norm 1."""
    moments: dict[str, Tensor] = {}

    def add(path: str, x_MI: Tensor) -> None:
        x_MI = x_MI.to(torch.float64 if precise else torch.float32)
        x_MI = nn.functional.normalize(x_MI, dim=-1)
        product_II = (x_MI.T @ x_MI).double()
        moments[path] = (
            moments[path].add_(product_II) if path in moments else product_II
        )

    reader.run(texts, modules, add)
    return moments


def _without(factors: LowRankFactors, span_IE: Tensor) -> LowRankFactors:
    """Factors with A (I - V Vᵀ), in float64."""
    a_RI = factors.a_RI.double()
    return LowRankFactors(a_RI - (a_RI @ span_IE) @ span_IE.T, factors.b_OR.double())


def _signal(
    reader: InputReader,
    modules: Mapping[str, nn.Module],
    vector: SafetyVector,
    projected: Mapping[str, LowRankFactors],
    texts: Sequence[Sequence[int]],
) -> _Signal:
    before = dict.fromkeys(vector.layers, 0.0)
    after = dict.fromkeys(vector.layers, 0.0)

    def add(path: str, x_MI: Tensor) -> None:
        layer = vector.layer_of(path)
        x_MI = x_MI.double().cpu()
        whole_MR = x_MI @ vector.factors[path].a_RI.double().T
        before[layer] += float(whole_MR.square().sum())
        after[layer] += float((x_MI @ projected[path].a_RI.T).square().sum())

    # What all prompts begin with, the chat template's system prompt, says nothing.
    beginning = common_beginning([TokenRow(tuple(ids), 1) for ids in texts])
    reader.run(texts, modules, add, skip=len(beginning))
    return _Signal(before, after)


def _recorded(
    vector: SafetyVector,
    projected: Mapping[str, LowRankFactors],
    parameters: Mapping[str, str],
    entries: Sequence[DataEntry],
) -> SafetyVector:
    """The vector with these factors, in canonical form, and what was done to it."""
    canonical = {path: refactored(factors) for path, factors in projected.items()}
    found = replace(
        vector, factors={**vector.factors, **canonical}, identity=None, digest=None
    )
    left = {"surviving_norm": decimal_text(_norm(found) / _norm(vector))}
    recipe = vector.recipe.model_copy(
        update={
            "parameters": {**vector.recipe.parameters, **parameters, **left},
            "data": (*vector.recipe.data, *entries),
        }
    )
    return replace(found, recipe=recipe)


def _directions(spans: Mapping[str, Tensor], vector: SafetyVector) -> str:
    """How many of the directions that a layer's modules read were projected out."""
    gone = dict.fromkeys(vector.layers, 0)
    there = dict.fromkeys(vector.layers, 0)
    for path, span_IE in spans.items():
        layer = vector.layer_of(path)
        gone[layer] += span_IE.shape[1]
        there[layer] += span_IE.shape[0]
    return ", ".join(f"{layer}: {gone[layer]} of {there[layer]}" for layer in gone)


def _norm(vector: SafetyVector) -> float:
    squares = (factors.norm() ** 2 for factors in vector.factors.values())
    return float(sum(squares) ** 0.5)
