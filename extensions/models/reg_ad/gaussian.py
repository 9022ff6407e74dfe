"""One Gaussian for each position, from fewer samples than channels: nothing of the size channels x channels."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from anomalib.models.components import DynamicBufferMixin
from torch.nn import functional as F

from extensions.models.common.threads import one_thread_each

RIDGE = 0.01  # added to the diagonal of each covariance, as in the paper
N_AT_ONCE = 64  # positions; bounds the scratch memory, not the result


class PositionGaussians(DynamicBufferMixin):
    """Mahalanobis distances to a Gaussian at each position of the first layer's map, where coarser maps are repeated.

    With the n centered samples of a position as rows of Y (n, C), divided by sqrt(n - 1), its covariance is
    Y^T Y + r I, of C x C. The identity of Woodbury gives the squared distance of a difference v without it,
    (|v|^2 - |L^-1 Y v|^2) / r with L L^T = Y Y^T + r I, of n x n. Y Y^T and Y v are sums over the layers, and a coarser
    layer has them once for all positions that share one of its own. From n = C on, d = |L^-1 v| with
    L L^T = Y^T Y + r I needs less. L is computed in double precision.

    Args:
        n_layers: Number of feature maps.

    Attributes:
        factor: L^-1, (P, m, m) for the P positions of the first layer, m the smaller of n and C; empty before a fit.
    """

    factor: torch.Tensor

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.register_buffer("factor", torch.empty(0))
        for number in range(n_layers):
            self.register_buffer(f"mean{number}", torch.empty(0))  # (C, h, w)
            self.register_buffer(f"samples{number}", torch.empty(0))  # (h * w, n, C); empty from n = C on

    @property
    def means(self) -> list[torch.Tensor]:
        """Of each layer (C, h, w)."""
        return [getattr(self, f"mean{number}") for number in range(self.n_layers)]

    @property
    def samples(self) -> list[torch.Tensor]:
        """Y of each layer, (h * w, n, C); empty ones from n = C on."""
        return [getattr(self, f"samples{number}") for number in range(self.n_layers)]

    def fit(self, features: Sequence[torch.Tensor]) -> None:
        """Estimate means and what distances need of the covariances.

        Args:
            features: Of each layer, highest resolution first, (n, C, h, w).

        Raises:
            ValueError: Fewer than two samples.
        """
        n_samples, n_channels = len(features[0]), sum(maps.shape[1] for maps in features)
        if n_samples < 2:
            msg = f"a covariance needs at least 2 samples, found {n_samples}: train on more images, or on their views."
            raise ValueError(msg)
        sizes = [(maps.shape[-2], maps.shape[-1]) for maps in features]
        centered = []
        for number, maps in enumerate(features):
            mean = maps.mean(dim=0)
            setattr(self, f"mean{number}", mean)
            rows = (maps - mean).flatten(2).permute(2, 0, 1)  # (h * w, n, C)
            centered.append(rows.contiguous().div_((n_samples - 1) ** 0.5))
        is_wide = n_samples < n_channels
        for number, rows in enumerate(centered):
            setattr(self, f"samples{number}", rows if is_wide else rows.new_empty(0))
        self.factor = (_sample_factors if is_wide else _channel_factors)(centered, sizes)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Distances of features, a list of (N, C, h, w) by layer: (N, 1, h, w) of the first, in standard deviations."""
        differences = [maps - mean for maps, mean in zip(features, self.means, strict=True)]
        size = features[0].shape[-2:]
        if not self.samples[0].numel():
            rows = torch.cat([F.interpolate(maps, size=size) for maps in differences], dim=1)  # (N, C, h, w)
            return _lengths(self.factor, rows).sqrt().reshape(-1, 1, *size)
        squares: torch.Tensor = sum(
            F.interpolate(maps.square().sum(dim=1, keepdim=True), size=size) for maps in differences
        )  # (N, 1, h, w)
        products: torch.Tensor = sum(
            F.interpolate(_products(rows, maps), size=size)
            for rows, maps in zip(self.samples, differences, strict=True)
        )  # (N, n, h, w)
        explained = _lengths(self.factor, products).reshape(-1, 1, *size)
        return ((squares - explained).clamp_min(0) / RIDGE).sqrt()  # rounding may leave less than 0


def _products(samples: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Y v at each position of a layer: (P, n, C) and (N, C, h, w) -> (N, n, h, w)."""
    found = _rows(maps) @ samples.mT  # (P, N, n)
    return found.permute(1, 2, 0).reshape(-1, samples.shape[1], *maps.shape[-2:])


def _lengths(factors: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Squared length of each position's vector times its factor: (P, m, m) and (N, m, h, w) -> (N, P)."""
    return (_rows(maps) @ factors.mT).square().sum(dim=2).T


def _rows(maps: torch.Tensor) -> torch.Tensor:
    """(N, C, h, w) -> (P, N, C); contiguous, for torch multiplies many small strided matrices 20 times slower."""
    return maps.flatten(2).permute(2, 0, 1).contiguous()


def _sample_factors(samples: Sequence[torch.Tensor], sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
    """L^-1 with L L^T = Y Y^T + r I at each position of the first layer, (P, n, n)."""
    first, *coarser = samples
    grams = [torch.cat([_gram(rows[piece]) for piece in _pieces(len(rows))]) for rows in coarser]
    places = [_places(sizes[0], size) for size in sizes[1:]]

    def invert(piece: slice) -> torch.Tensor:
        shared = (gram[place[piece]] for gram, place in zip(grams, places, strict=True))
        return _inverse_factors(sum(shared, start=_gram(first[piece])))

    return _in_pieces(invert, first, width=first.shape[1])


def _channel_factors(samples: Sequence[torch.Tensor], sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
    """L^-1 with L L^T = Y^T Y + r I at each position of the first layer, (P, C, C)."""
    places = [_places(sizes[0], size) for size in sizes]

    def invert(piece: slice) -> torch.Tensor:
        rows = torch.cat([rows[place[piece]] for rows, place in zip(samples, places, strict=True)], dim=2)
        return _inverse_factors(_gram(rows.mT))

    return _in_pieces(invert, samples[0], width=sum(rows.shape[2] for rows in samples))


def _in_pieces(invert: Callable[[slice], torch.Tensor], rows: torch.Tensor, *, width: int) -> torch.Tensor:
    factors = rows.new_empty((len(rows), width, width))
    pieces = _pieces(len(rows))
    with one_thread_each() if rows.device.type == "cpu" else nullcontext() as pool:
        for piece, found in zip(pieces, (pool.map if pool else map)(invert, pieces), strict=True):
            factors[piece] = found
    return factors


def _pieces(n_positions: int) -> list[slice]:
    edges = [*range(0, n_positions, N_AT_ONCE), n_positions]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def _places(size: tuple[int, int], coarse: tuple[int, int]) -> torch.Tensor:
    """Which position of a coarser map each of `size` takes, as nearest interpolation does: (P,)."""
    numbers = torch.arange(coarse[0] * coarse[1], dtype=torch.float64).reshape(1, 1, *coarse)
    return F.interpolate(numbers, size=size).flatten().long()


def _gram(rows: torch.Tensor) -> torch.Tensor:
    """(p, n, C) -> (p, n, n) in double precision."""
    exact = rows.double()
    return exact @ exact.mT


def _inverse_factors(grams: torch.Tensor) -> torch.Tensor:
    """L^-1 with L L^T = G + r I: (p, m, m) -> (p, m, m) in single precision."""
    identity = torch.eye(grams.shape[-1], dtype=grams.dtype, device=grams.device)
    lower = torch.linalg.cholesky(grams + RIDGE * identity)
    return torch.linalg.solve_triangular(lower, identity, upper=False).float()
