"""Reads what a model's modules are given, while it runs token ids.

Shapes: N rows of a batch, T tokens, M real tokens of a batch, I in features.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from safegene.evaluation.batches import sorted_batches

Progress = Callable[[int, int], None]
"""Called with rows done and all rows."""
Read = Callable[[str, Tensor], None]
"""Called with a module's path and its input."""


class InputReader:
    """Forward passes with hooks that read; nothing is kept but what `read` keeps.

    Args:
        model: in evaluation mode, without gradients.
        batch_size: rows run together.
        progress: called after each batch once `total` is known.
    """

    def __init__(
        self, model: Any, batch_size: int, progress: Progress | None = None
    ) -> None:
        self._model = model
        self._batch_size = batch_size
        self._progress = progress
        self._done = 0
        self.total = 0
        """Rows of all runs together."""

    def run(
        self,
        sequences: Sequence[Sequence[int]],
        modules: Mapping[str, nn.Module],
        read: Read,
        *,
        skip: int = 0,
    ) -> None:
        """Read the inputs [M, I] of every module, batch by batch.

        Args:
            sequences: token ids.
            modules: by path.
            read: gets the inputs at real tokens, padding left out.
            skip: first tokens of every row that are left out, too.
        """
        device = next(self._model.parameters()).device
        for indices in sorted_batches(sequences, self._batch_size):
            width = max(len(sequences[at]) for at in indices)
            ids_NT = torch.zeros((len(indices), width), dtype=torch.long)
            mask_NT = torch.zeros((len(indices), width), dtype=torch.long)
            for row, at in enumerate(indices):
                # Padded on the right: no token sees what comes after it.
                ids_NT[row, : len(sequences[at])] = torch.tensor(sequences[at])
                mask_NT[row, : len(sequences[at])] = 1
            wanted_NT = mask_NT.bool().to(device)
            wanted_NT[:, :skip] = False
            with _hooked(modules, partial(_read_wanted, wanted_NT, read)):
                self._model(
                    input_ids=ids_NT.to(device),
                    attention_mask=mask_NT.to(device),
                    use_cache=False,
                    logits_to_keep=1,
                )
            self._done += len(indices)
            if self._progress is not None:
                self._progress(self._done, max(self.total, self._done))

    def shared_inputs(
        self, ids: Sequence[int], modules: Mapping[str, nn.Module]
    ) -> dict[str, list[str]]:
        """Modules that read the very same tensor, by the path of the first of them."""
        first: dict[int, str] = {}
        shared: dict[str, list[str]] = {}
        held: list[Tensor] = []

        def note(path: str, x: Tensor) -> None:
            held.append(x)  # while it lives, no other tensor gets its id
            shared.setdefault(first.setdefault(id(x), path), []).append(path)

        device = next(self._model.parameters()).device
        with _hooked(modules, note):
            self._model(
                input_ids=torch.tensor([list(ids)], device=device),
                use_cache=False,
                logits_to_keep=1,
            )
        return shared


def _read_wanted(wanted_NT: Tensor, read: Read, path: str, x_NTI: Tensor) -> None:
    read(path, x_NTI[wanted_NT])


@contextmanager
def _hooked(modules: Mapping[str, nn.Module], read: Read) -> Iterator[None]:
    def hook_of(path: str) -> Any:
        return lambda _module, inputs: read(path, inputs[0])

    handles = [
        module.register_forward_pre_hook(hook_of(path))
        for path, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
