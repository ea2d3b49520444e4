"""How weights come back after they were stored with fewer bits.

int8 and int4 round to the nearest of evenly spaced values, with one scale for each row
(int8) or each 64 values (int4), as weight-only quantisation does; GGUF by the `gguf`
package.
"""

from collections.abc import Callable, Mapping

import gguf
import torch
from torch import Tensor

GROUP = 64


def _rounded(weight: Tensor, *, bits: int, group: int) -> Tensor:
    rows = weight.reshape(-1, group)
    top = 2 ** (bits - 1) - 1
    scale = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / top
    back: Tensor = (rows / scale).round() * scale
    return back.view_as(weight)


def _through_gguf(weight: Tensor, kind: gguf.GGMLQuantizationType) -> Tensor:
    stored = gguf.quants.quantize(weight.contiguous().numpy(), kind)
    back: Tensor = torch.from_numpy(gguf.quants.dequantize(stored, kind))
    return back.view_as(weight)


STORED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "float32": lambda weight: weight,
    "bfloat16": lambda weight: weight.bfloat16().float(),
    "float16": lambda weight: weight.half().float(),
    "int8": lambda weight: _rounded(weight, bits=8, group=weight.shape[-1]),
    "int4": lambda weight: _rounded(weight, bits=4, group=GROUP),
    "GGUF Q8_0": lambda weight: _through_gguf(weight, gguf.GGMLQuantizationType.Q8_0),
    "GGUF Q4_0": lambda weight: _through_gguf(weight, gguf.GGMLQuantizationType.Q4_0),
}
