"""Low-rank factors of one module's weight change.

Shape suffixes: O out features, I in features, R rank.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from safegene.errors import NonFiniteTensorError, RankError, ShapeMismatchError

EXACT_LIMIT = 384
"""Largest smaller side for which a full SVD is taken; beyond, a randomized one."""

OVERSAMPLING = 16
POWER_ITERATIONS = 4
"""Extra directions and passes of the randomized SVD; the tests hold the error against
the exact spectrum."""


# Compared by identity: comparing tensors with == does not give one truth value.
@dataclass(frozen=True, eq=False)
class LowRankFactors:
    """The change `b_OR @ a_RI` of one weight; the scaling is always 1.

    Raises:
        ShapeMismatchError: A and B have different ranks.
    """

    a_RI: Float[Tensor, "r i"]
    b_OR: Float[Tensor, "o r"]

    def __post_init__(self) -> None:
        if self.a_RI.shape[0] != self.b_OR.shape[1]:
            message = (
                f"factors disagree: A is {tuple(self.a_RI.shape)}, B is"
                f" {tuple(self.b_OR.shape)}; expected A [rank, in] and B [out, rank]"
            )
            raise ShapeMismatchError(
                message,
                module="factors",
                expected=tuple(self.a_RI.shape),
                actual=tuple(self.b_OR.shape),
            )

    @property
    def rank(self) -> int:
        """Number of directions, padding included."""
        return int(self.a_RI.shape[0])

    def delta(self) -> Float[Tensor, "o i"]:
        """The weight change itself."""
        return self.b_OR @ self.a_RI

    def norm(self) -> float:
        """Frobenius norm of the weight change, without forming it."""
        gram = (self.b_OR.T @ self.b_OR) * (self.a_RI @ self.a_RI.T)
        return float(gram.sum().clamp_min(0).sqrt())

    def scaled(self, coefficient: float) -> "LowRankFactors":
        """Factors of `coefficient` times the change; the coefficient goes into B."""
        return LowRankFactors(self.a_RI, self.b_OR * coefficient)

    def padded(self, rank: int) -> "LowRankFactors":
        """The same change at a higher rank, filled up with zeros.

        Raises:
            RankError: `rank` is below the factors' own.
        """
        missing = rank - self.rank
        if missing < 0:
            message = f"cannot pad factors of rank {self.rank} to rank {rank}"
            raise RankError(message)
        return LowRankFactors(
            torch.nn.functional.pad(self.a_RI, (0, 0, 0, missing)),
            torch.nn.functional.pad(self.b_OR, (0, missing)),
        )


def truncated_factors(
    delta_OI: Float[Tensor, "o i"], *, rank: int, module: str = "weight", seed: int = 0
) -> LowRankFactors:
    """Compress one weight change to its best factors of a rank.

    The product is the closest matrix of that rank in Frobenius norm, up to the small
    excess of the randomized decomposition for large matrices. Work is done in float32
    on the CPU whatever the input dtype. Directions are ordered by singular value and
    signed so that the largest entry of each row of A is positive, which makes the bytes
    canonical. Each factor carries the root of the singular values; directions that are
    mere rounding noise are zero.

    Args:
        delta_OI: aligned minus degraded weight, layout of `nn.Linear.weight`.
        rank: kept directions; fewer are kept where the matrix has fewer.
        module: name for errors.
        seed: of the randomized decomposition.

    Raises:
        RankError: `rank` is not positive.
        NonFiniteTensorError: the change holds NaN or infinity.

    Source:
        Eckart and Young 1936; Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1.
    """
    if rank < 1:
        message = f"{module}: expected a rank of at least 1, got {rank}"
        raise RankError(message)
    delta_OI = delta_OI.detach().to(device="cpu", dtype=torch.float32)
    if not bool(torch.isfinite(delta_OI).all()):
        message = f"{module}: the weight change holds NaN or infinity"
        raise NonFiniteTensorError(message, module=module)
    kept = min(rank, *delta_OI.shape)
    u_OR, s_R, v_RI = _decompose(delta_OI, kept, seed)
    largest = v_RI.abs().argmax(dim=1, keepdim=True)
    sign_R = torch.where(v_RI.gather(1, largest).squeeze(1) < 0, -1.0, 1.0)
    noise = float(s_R[0]) * max(delta_OI.shape) * torch.finfo(torch.float32).eps
    root_R = torch.where(s_R > noise, s_R, 0.0).sqrt() * sign_R
    # Adding zero turns the -0.0 of dropped directions into 0.0.
    a_RI = v_RI * root_R[:, None] + 0.0
    b_OR = u_OR * root_R + 0.0
    return LowRankFactors(a_RI.contiguous(), b_OR.contiguous())


def _decompose(delta_OI: Tensor, kept: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    width = kept + OVERSAMPLING
    if min(delta_OI.shape) <= max(EXACT_LIMIT, 2 * width):
        u, s, vh = torch.linalg.svd(delta_OI, full_matrices=False)
        return u[:, :kept], s[:kept], vh[:kept]
    generator = torch.Generator().manual_seed(seed)
    probe = torch.randn(delta_OI.shape[1], width, generator=generator)
    basis, _ = torch.linalg.qr(delta_OI @ probe)
    for _ in range(POWER_ITERATIONS):
        across, _ = torch.linalg.qr(delta_OI.T @ basis)
        basis, _ = torch.linalg.qr(delta_OI @ across)
    u, s, vh = torch.linalg.svd(basis.T @ delta_OI, full_matrices=False)
    return (basis @ u)[:, :kept], s[:kept], vh[:kept]
