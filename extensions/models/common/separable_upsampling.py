"""Anomaly maps enlarged and blurred by one small matrix for each axis, in place of a two-dimensional convolution."""

import torch
from torch.nn import functional as F


class SeparableUpsampler:
    """Enlarges maps, mirrors them at the border and blurs them: all linear and separable, so map = V scores Hᵀ.

    The matrices, (height, rows) and (width, columns), are kept for the next batch of the same sizes.

    Args:
        mode: Of the interpolation, `nearest` or `bilinear`.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._kept: tuple[tuple[object, ...], torch.Tensor, torch.Tensor] | None = None

    @staticmethod
    def can_do(maps: torch.Tensor) -> bool:
        """Whether the maps are of this kind: float32 on the CPU, and no model is being exported."""
        plain = maps.device.type == "cpu" and maps.dtype == torch.float32
        return plain and not torch.compiler.is_compiling() and not torch.jit.is_tracing()

    def __call__(
        self, maps: torch.Tensor, image_size: tuple[int, int] | torch.Size, kernel: torch.Tensor
    ) -> torch.Tensor:
        """Enlarge and blur maps.

        Args:
            maps: (N, 1, h, w).
            image_size: Height and width of the result in px.
            kernel: (1, 1, k, k) of the blur, an outer product that sums up to 1.

        Returns:
            (N, 1, height, width).
        """
        vertical, horizontal = self.matrices(maps.shape[-2:], image_size, kernel)
        # In double precision, which set_float32_matmul_precision does not round.
        return (vertical @ maps.double() @ horizontal).float()

    def matrices(
        self, size: tuple[int, int] | torch.Size, image_size: tuple[int, int] | torch.Size, kernel: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """V (height, rows) and Hᵀ (columns, width), double, for maps of `size` rows and columns; else as in a call."""
        key = (tuple(size), tuple(image_size), kernel.data_ptr(), None if kernel.is_inference() else kernel._version)
        if self._kept is None or self._kept[0] != key:
            square = kernel[0, 0].double()
            self._kept = (
                key,
                self._axis(size[0], image_size[0], square.sum(dim=1)),
                self._axis(size[1], image_size[1], square.sum(dim=0)).T.contiguous(),
            )
        return self._kept[1], self._kept[2]

    def _axis(self, n_scores: int, n_pixels: int, kernel: torch.Tensor) -> torch.Tensor:
        """What each score adds to each pixel along one axis, (n_pixels, n_scores)."""
        unit = torch.eye(n_scores, dtype=kernel.dtype)[:, None]  # (n_scores, 1, n_scores)
        enlarged = F.interpolate(unit, size=n_pixels, mode="linear" if self.mode == "bilinear" else self.mode)
        mirrored = F.pad(enlarged, (len(kernel) // 2, len(kernel) // 2), mode="reflect")
        return F.conv1d(mirrored, kernel[None, None])[:, 0].T.contiguous()
