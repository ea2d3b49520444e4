"""Brings a low-rank change into canonical form without forming it.

Shape suffixes: O out features, I in features, R rank.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from safegene.vectors.factors import LowRankFactors


def refactored(factors: LowRankFactors) -> LowRankFactors:
    """The same change as its singular directions: ordered, signed, at the same rank.

    As `truncated_factors` would give it: each factor carries the root of the singular
    values, the largest entry of each row of A is positive, and directions that are mere
    rounding noise are zero. Done in float64 in the factors' own spans.
    """
    left_OR, upper_RR = torch.linalg.qr(factors.b_OR.double())
    right_IR, lower_RR = torch.linalg.qr(factors.a_RI.double().T)
    u_RR, s_R, v_RR = torch.linalg.svd(upper_RR @ lower_RR.T, full_matrices=False)
    found = _signed(left_OR @ u_RR, s_R, v_RR @ right_IR.T)
    return found.padded(max(found.rank, factors.rank))


def _signed(
    u_OR: Float[Tensor, "o r"], s_R: Float[Tensor, " r"], v_RI: Float[Tensor, "r i"]
) -> LowRankFactors:
    largest = v_RI.abs().argmax(dim=1, keepdim=True)
    sign_R = torch.where(v_RI.gather(1, largest).squeeze(1) < 0, -1.0, 1.0)
    noise = float(s_R[0]) * torch.finfo(torch.float32).eps
    root_R = torch.where(s_R > noise, s_R, 0.0).sqrt() * sign_R
    # Adding zero turns the -0.0 of dropped directions into 0.0.
    a_RI = (v_RI * root_R[:, None]).float() + 0.0
    b_OR = (u_OR * root_R).float() + 0.0
    return LowRankFactors(a_RI.contiguous(), b_OR.contiguous())
