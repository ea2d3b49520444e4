"""Low-rank factors of one module's weight change.

Shape suffixes: O out features, I in features, R rank.
"""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from safegene.errors import RankError, ShapeMismatchError
from safegene.vectors.randomized import Size, truncated_svd


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
    """Compress one weight change to its best factors of a rank; see `compress`."""
    return compress(delta_OI, Size(rank), module=module, seed=seed).factors


@dataclass(frozen=True, eq=False)
class Compressed:
    """Factors of a weight change and what they leave over."""

    factors: LowRankFactors
    total: float
    """Squared Frobenius norm of the change."""
    lost: float
    """Squared Frobenius norm of the change minus the factors' product."""


def compress(
    delta_OI: Float[Tensor, "o i"], size: Size, *, module: str = "weight", seed: int = 0
) -> Compressed:
    """Compress one weight change to its best factors of a size.

    The product is the closest matrix of that rank in Frobenius norm, up to the small
    excess of the randomized decomposition for large matrices. Work is done in float32
    on the CPU whatever the input dtype. Directions are ordered by singular value and
    signed so that the largest entry of each row of A is positive, which makes the bytes
    canonical. Each factor carries the root of the singular values; directions that are
    mere rounding noise are zero.

    Args:
        delta_OI: aligned minus degraded weight, layout of `nn.Linear.weight`.
        size: kept directions; fewer are kept where the matrix has fewer.
        module: path of the module, for errors and for the seed, so that a module's
            factors do not depend on which others are compressed, or in which order.
        seed: of the randomized decomposition.

    Raises:
        NonFiniteTensorError: the change holds NaN or infinity.

    Source:
        Eckart and Young 1936; `truncated_svd` for the decomposition.
    """
    delta_OI = delta_OI.detach().to(device="cpu", dtype=torch.float32)
    svd = truncated_svd(delta_OI, size, module=module, seed=_seed_of(module, seed))
    factors = canonical_factors(svd.u_OR, svd.s_R, svd.v_RI)
    return Compressed(factors, total=svd.total, lost=svd.lost)


def refactored(factors: LowRankFactors) -> LowRankFactors:
    """The same change in canonical form: its singular directions, ordered and signed.

    The rank stays; directions that add nothing become zero. Done in float64 in the
    factors' own spans, so the product is the same up to rounding to float32.
    """
    left_OR, upper_RR = torch.linalg.qr(factors.b_OR.double())
    right_IR, lower_RR = torch.linalg.qr(factors.a_RI.double().T)
    u_RR, s_R, v_RR = torch.linalg.svd(upper_RR @ lower_RR.T, full_matrices=False)
    noise = float(s_R[0]) * torch.finfo(torch.float32).eps
    s_R = torch.where(s_R > noise, s_R, 0.0)
    found = canonical_factors(left_OR @ u_RR, s_R, v_RR @ right_IR.T)
    part = LowRankFactors(found.a_RI.float(), found.b_OR.float())
    return part.padded(max(part.rank, factors.rank))


def canonical_factors(
    u_OR: Float[Tensor, "o r"], s_R: Float[Tensor, " r"], v_RI: Float[Tensor, "r i"]
) -> LowRankFactors:
    """Factors of `u s v`, with the signs that make their bytes canonical."""
    largest = v_RI.abs().argmax(dim=1, keepdim=True)
    sign_R = torch.where(v_RI.gather(1, largest).squeeze(1) < 0, -1.0, 1.0)
    root_R = s_R.sqrt() * sign_R
    # Adding zero turns the -0.0 of dropped directions into 0.0.
    a_RI = v_RI * root_R[:, None] + 0.0
    b_OR = u_OR * root_R + 0.0
    return LowRankFactors(a_RI.contiguous(), b_OR.contiguous())


def _seed_of(module: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed} {module}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
