"""Whether gradients reach the coefficients, before anything is built on them.

Integer kernels often give none. Where the whole chain breaks, a backward pass fails;
where only a module breaks it, the residual stream still carries a gradient past it, and
the result is wrong without a word. One prompt tells both.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from safegene.errors import UsageError
from safegene.vectors.recalibrate.forward import Runner, TokenRow
from safegene.vectors.targets import plain_path


def require_gradients(model: nn.Module, runner: Runner, row: TokenRow) -> None:
    """Run one row forward and backward, and look where gradients stop.

    Args:
        model: the target, frozen, with the vector attached.
        runner: of the model.
        row: any.

    Raises:
        UsageError: a module gives no gradient; the message names the solver that needs
            none.
    """
    cuts: list[str] = []
    zero_S = torch.zeros(runner.size, dtype=torch.float64)
    try:
        with _watched(model, cuts):
            for batch in runner.run_live([row], zero_S):
                runner.per_row_gradients(batch, batch.logits_NKV.float().sum((1, 2)))
    except torch.OutOfMemoryError:
        raise
    # What autograd and kernels without a backward raise; the cause stays attached.
    except (RuntimeError, NotImplementedError) as error:
        where = cuts[0] if cuts else str(error).partition("\n")[0]
        raise _no_gradients(where) from error
    if cuts:
        raise _no_gradients(cuts[0])


def _no_gradients(where: str) -> UsageError:
    detail = (
        f"the target gives no gradients ({where}), as quantised modules often do not;"
        ' recalibrate it with --solver gradient-free (in Python solver="gradient-free")'
    )
    return UsageError(detail)


@contextmanager
def _watched(model: nn.Module, cuts: list[str]) -> Iterator[None]:
    """Note every module without children that takes a gradient and gives none on."""

    def look(name: str) -> Callable[..., None]:
        def after(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            takes = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
            if takes and isinstance(output, Tensor) and not output.requires_grad:
                cuts.append(name)

        return after

    # Before the vector's own hooks: what they add has a gradient in any case.
    handles = [
        module.register_forward_hook(look(plain_path(name)), prepend=True)
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
