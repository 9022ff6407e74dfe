"""A cheap test of which distances can be small: points seen along the few directions in which they differ most."""

import math

import numpy as np

EXPLAINED = 0.97  # share of the variance that the directions hold
MOST_CHANNELS = 0.5  # with more directions than this share of the channels, whole products cost hardly more
SLACK = 2.0**-8  # (a + b)² is at most (1 + SLACK) a² + (1 + 1 / SLACK) b²


class Screen:
    """Lower bounds on distances between points and centers, from orthogonal projections on principal directions.

    A projection is never longer than what is projected. Directions that are not quite orthonormal and rounding are
    allowed for, so that what is ruled out is ruled out by the distance that the exact kernel computes, too.

    Args:
        directions: (n_channels, n_directions), orthonormal but for rounding.
        n_centers: How many centers there will be.

    Attributes:
        factors: (n_centers, n_directions + 1), right-hand sides of the products.
    """

    def __init__(self, directions: np.ndarray, n_centers: int) -> None:
        n_channels, n_directions = directions.shape
        self.directions = directions
        self.factors = np.empty((n_centers, n_directions + 1), directions.dtype)
        limits = np.finfo(directions.dtype)
        unit = float(limits.eps) / 2
        exact = directions.astype(np.float64)
        skew = np.linalg.norm(exact.T @ exact - np.eye(n_directions))  # at least the spectral norm
        self.stretch = (1 + skew) * (1 + 4 * (n_channels + 16) * unit)  # of squares; and the exact kernel's rounding
        # |fl((x - shift) D) - (x - shift) D| <= (d + 2) u |D|_F |x - shift| (Higham, Accuracy and Stability, 2002, §3)
        self.blur = 2 * (n_channels + 2) * unit * math.sqrt(n_directions)
        self.relative_error = 6 * (n_directions + 16) * unit
        self.underflow = 4 * (n_channels + 16) * float(limits.tiny)

    def add(self, index: int, center: np.ndarray, square: float) -> None:
        """Take in a center (n_channels,), less the shift, with its squared length, as the one of this index."""
        seen = center @ self.directions
        np.negative(seen, out=self.factors[index, :-1])
        # The center's part of both errors; twice the second, for the rounding of this sum.
        blurred = 2 * (1 + 1 / SLACK) * self.blur**2 * float(square)
        self.factors[index, -1] = (float(seen @ seen) * (1 - self.relative_error) - blurred) / 2

    def project(self, points: np.ndarray) -> np.ndarray:
        """Left-hand sides for points (n, n_channels), less the shift; (n, n_directions + 1)."""
        left = np.ones((len(points), self.factors.shape[1]), points.dtype)
        np.matmul(points, self.directions, out=left[:, :-1])
        return left

    def reach(self, left: np.ndarray, squares: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """The largest product of each point with which a center may be nearer than the point's bound; (n,).

        Args:
            left: (n, n_directions + 1) from `project`.
            squares: (n,) squared lengths of the points, less the shift.
            bounds: (n,) distances.
        """
        widest = np.sqrt(self.stretch * (bounds.astype(np.float64) ** 2 + self.underflow))
        widest += self.blur * np.sqrt((1 + SLACK) * squares.astype(np.float64))
        seen = np.einsum("ij,ij->i", left[:, :-1], left[:, :-1]).astype(np.float64)
        reach = ((1 + SLACK) * widest**2 - seen * (1 - self.relative_error) + self.underflow) / 2
        return np.nextafter(reach.astype(left.dtype), left.dtype.type(np.inf))


def principal_directions(sample: np.ndarray) -> np.ndarray | None:
    """Directions that hold most of the variance of a sample around its mean, or None where that takes many.

    Args:
        sample: (n, n_channels).

    Returns:
        (n_channels, n_directions) of the sample's type, orthonormal but for rounding.
    """
    sample = sample.astype(np.float64)
    sample -= sample.mean(axis=0)
    n_channels = sample.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        scatter = sample.T @ sample
    if not np.isfinite(scatter).all():
        return None
    variances, directions = np.linalg.eigh(scatter)
    held = variances[::-1].clip(0).cumsum()
    n_directions = int(np.searchsorted(held, EXPLAINED * held[-1])) + 1
    n_directions = -8 * (-n_directions // 8)
    if not held[-1] > 0 or n_directions > MOST_CHANNELS * n_channels:
        return None
    return np.ascontiguousarray(directions[:, ::-1][:, :n_directions])
