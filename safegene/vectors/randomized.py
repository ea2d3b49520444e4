"""The leading singular directions of one large matrix, without a full SVD.

A random subspace is turned toward them by passing the matrix over it, alternately from
the left and from the right, until what is still to be gained is small next to what the
directions leave over. Nothing of the matrix's own size is formed: scratch memory is two
bases of `rank` and a few more columns.

Shape suffixes: O out features, I in features, R kept directions, W columns of a basis.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from safegene.errors import NonFiniteTensorError, RankError, UsageError

EXACT_LIMIT = 384
"""Largest smaller side for which a full SVD is taken."""

OVERSAMPLING = 16
"""Columns of a basis beyond the rank; so many more when it does not settle."""

FIRST_RANK = 16
"""Directions looked for first when the rank follows from an energy."""

TOLERANCE = 1e-3
"""Of what the directions leave over, squared: the most that further passes may gain.
Half a thousandth of the error itself; the promise is a hundredth."""

_ROUNDING = 5e-7
"""Of a singular value, relative to the largest, in float32."""
_LEAST_PASSES = 4
_PASSES = 12
_WIDENINGS = 3
_SLOWEST = 0.9
_CANCELLED = 1e-3
"""Share of the squared norm below which a difference of sums has lost its digits."""
_BLOCK_VALUES = 1 << 22
_NOISE = 4.0


@dataclass(frozen=True)
class Size:
    """How many directions to keep.

    Raises:
        RankError: the rank is not positive.
        UsageError: the energy is not above 0 and at most 1.
    """

    rank: int
    """Directions to keep; with an energy, the most."""
    energy: float | None = None
    """Share of the squared Frobenius norm to keep, with as few directions as do."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            message = f"expected a rank of at least 1, got {self.rank}"
            raise RankError(message)
        if self.energy is not None and not 0 < self.energy <= 1:
            message = f"expected an energy above 0 and at most 1, got {self.energy}"
            raise UsageError(message)

    def count(self, values_W: Float[Tensor, " w"], total: float) -> int:
        """Directions to keep of those with these singular values, falling."""
        most = min(self.rank, len(values_W))
        if self.energy is None:
            return most
        captured_W = values_W.double().square().cumsum(0)
        # Rounding must not ask for one more direction where all are there.
        wanted = self.energy * total * (1 - 1e-6)
        return min(most, int((captured_W < wanted).sum()) + 1)


@dataclass(frozen=True, eq=False)
class TruncatedSVD:
    """Leading singular directions and what they leave over."""

    u_OR: Float[Tensor, "o r"]
    s_R: Float[Tensor, " r"]
    """Singular values, falling; directions that are rounding noise have exactly 0."""
    v_RI: Float[Tensor, "r i"]
    total: float
    """Squared Frobenius norm of the matrix."""
    lost: float
    """Squared Frobenius norm of the matrix minus `u s v`."""

    @property
    def relative_error(self) -> float:
        """Norm of what is lost by norm of the matrix; 0 for a zero matrix."""
        return (self.lost / self.total) ** 0.5 if self.total > 0 else 0.0


def truncated_svd(
    delta_OI: Float[Tensor, "o i"],
    size: Size,
    *,
    module: str = "weight",
    seed: int = 0,
) -> TruncatedSVD:
    """Find the leading singular directions of a matrix.

    The error of their product is within a percent of the least possible at that rank.
    It is known without forming the product: the directions are the singular ones of the
    matrix's projection P, and ‖Δ - P‖² = ‖Δ‖² - Σσ². Where that difference cancels,
    what is left over is summed block by block instead.

    Args:
        delta_OI: float32, on the CPU; it is read only.
        size: how many directions to keep; fewer are where the matrix has fewer.
        module: name for errors.
        seed: of the random subspace.

    Raises:
        NonFiniteTensorError: the matrix holds NaN or infinity.

    Source:
        Halko, Martinsson and Tropp 2011, algorithms 4.4 (subspace iteration with
        orthonormalization at every pass) and 5.1, section 4.4 for widening until the
        error is small. Stopping by the geometric decay of the gains is ours.
    """
    total = _squared_norm(delta_OI, module)
    limit = min(*delta_OI.shape, size.rank + OVERSAMPLING)
    if min(delta_OI.shape) <= max(EXACT_LIMIT, 2 * limit):
        u, s, vh = torch.linalg.svd(delta_OI, full_matrices=False)
    else:
        u, s, vh = _leading(delta_OI, size, total, seed)
    kept = size.count(s, total)
    noise = float(s[0]) * _NOISE * max(delta_OI.shape) ** 0.5 * torch.finfo(s.dtype).eps
    s_R = torch.where(s[:kept] > noise, s[:kept], 0.0)
    found = (u[:, :kept], s_R, vh[:kept])
    lost = total - float(s_R.double().square().sum())
    if lost < _CANCELLED * total:
        lost = _left_over(delta_OI, *found)
    return TruncatedSVD(*found, total=total, lost=lost)


def _leading(
    delta_OI: Tensor, size: Size, total: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """At least as many directions as are kept, of a subspace that has settled."""
    most = min(*delta_OI.shape, size.rank + OVERSAMPLING)
    first = size.rank if size.energy is None else min(size.rank, FIRST_RANK)
    subspace = _Subspace(delta_OI, min(most, first + OVERSAMPLING), seed)
    widenings = 0
    while True:
        kept = min(size.rank, subspace.width - OVERSAMPLING)
        settled = subspace.settle(kept, total)
        short = size.count(subspace.values_W, total) > subspace.width - OVERSAMPLING
        if short and subspace.width < most:
            subspace.widen(min(subspace.width, most - subspace.width))
        elif not settled and widenings < _WIDENINGS:
            widenings += 1
            subspace.widen(min(OVERSAMPLING, min(delta_OI.shape) - subspace.width))
        else:
            return subspace.directions()


class _Subspace:
    """Orthonormal bases of both sides between which the matrix is seen.

    The matrix's projection is `left core rightᵀ`, and a pass over the matrix turns one
    of the two bases: the projection only ever grows.
    """

    def __init__(self, delta_OI: Tensor, width: int, seed: int) -> None:
        self._delta_OI = delta_OI
        self._generator = torch.Generator().manual_seed(seed)
        self._right_IW = self._drawn(width)
        self._start()

    @property
    def width(self) -> int:
        return int(self._right_IW.shape[1])

    def settle(self, kept: int, total: float) -> bool:
        """Pass until the `kept` leading directions gain next to nothing more.

        The gains of a direction fall geometrically, by the ratio of the neglected to
        its own singular value, so the last two tell the sum of all that are to come.
        """
        before_R = gains_before_R = torch.zeros(kept, dtype=torch.float64)
        for number in range(_PASSES):
            self._pass()
            squares_R = self.values_W[:kept].square()
            # Every value is as uncertain as rounding makes the largest.
            rounding_R = _ROUNDING * self.values_W[:kept] * self.values_W[0]
            gains_R = (squares_R - before_R - rounding_R).clamp_min(0)
            if number >= _LEAST_PASSES - 1:
                ratios_R = (gains_R / gains_before_R).nan_to_num(0).clamp_max(_SLOWEST)
                to_come = float((gains_R * ratios_R / (1 - ratios_R)).sum())
                if to_come <= TOLERANCE * max(total - float(squares_R.sum()), 0.0):
                    return True
            before_R, gains_before_R = squares_R, gains_R
        return False

    def widen(self, columns: int) -> None:
        """Add random columns."""
        both = torch.cat([self._right_IW, self._drawn(columns)], dim=1)
        self._right_IW = torch.linalg.qr(both)[0]
        self._start()

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Singular directions of the projection: u, s and v transposed."""
        u, s, vh = torch.linalg.svd(self._core_WW)
        return self._left_OW @ u, s, vh @ self._right_IW.T

    def _start(self) -> None:
        self._turn_left = True
        self.values_W = torch.zeros(self.width, dtype=torch.float64)

    def _pass(self) -> None:
        if self._turn_left:
            self._left_OW, core_WW = torch.linalg.qr(self._delta_OI @ self._right_IW)
            self._core_WW = core_WW
        else:
            self._right_IW, core_WW = torch.linalg.qr(self._delta_OI.T @ self._left_OW)
            self._core_WW = core_WW.T
        self._turn_left = not self._turn_left
        self.values_W = torch.linalg.svdvals(core_WW.double())

    def _drawn(self, columns: int) -> Tensor:
        drawn = torch.randn(self._delta_OI.shape[1], columns, generator=self._generator)
        basis_IW: Tensor = torch.linalg.qr(drawn)[0]
        return basis_IW


def _blocks(delta_OI: Tensor) -> Iterator[slice]:
    """Rows in parts, so that what is computed of them stays small."""
    rows = max(1, _BLOCK_VALUES // max(1, delta_OI.shape[1]))
    for start in range(0, delta_OI.shape[0], rows):
        yield slice(start, start + rows)


def _squared_norm(delta_OI: Tensor, module: str) -> float:
    norm_O = torch.linalg.vector_norm(delta_OI, dim=1)
    if not bool(torch.isfinite(norm_O).all()):
        message = f"{module}: the weight change holds NaN or infinity"
        raise NonFiniteTensorError(message, module=module)
    return float(norm_O.double().square().sum())


def _left_over(delta_OI: Tensor, u_OR: Tensor, s_R: Tensor, v_RI: Tensor) -> float:
    """Squared norm of the matrix minus the product, in one more pass."""
    b_OR = u_OR * s_R
    lost = 0.0
    for rows in _blocks(delta_OI):
        rest = torch.addmm(delta_OI[rows], b_OR[rows], v_RI, alpha=-1)
        lost += float(torch.linalg.vector_norm(rest).double().square())
    return lost
