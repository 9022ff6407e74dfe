"""PatchCore's anomaly map: scores of patches enlarged and blurred, by one small matrix for each axis."""

from __future__ import annotations

import torch
from anomalib.models.image.patchcore.anomaly_map import AnomalyMapGenerator as AnomalibAnomalyMapGenerator
from torch.nn import functional as F


class AnomalyMapGenerator(AnomalibAnomalyMapGenerator):
    """Anomalib's maps without its two-dimensional convolution.

    Enlarging, mirroring at the border and the Gaussian blur are linear and separable: map = V scores Hᵀ with a matrix
    of (height, patches along it) and one of (width, patches along it), which are kept for the next batch.
    """

    _operators: tuple[tuple[object, ...], torch.Tensor, torch.Tensor] | None = None

    def compute_anomaly_map(
        self, patch_scores: torch.Tensor, image_size: tuple[int, int] | torch.Size | None = None
    ) -> torch.Tensor:
        """Enlarge and blur.

        Args:
            patch_scores: (N, 1, h, w).
            image_size: Height and width of the maps in px; None leaves the size as it is.

        Returns:
            (N, 1, height, width), higher is more anomalous.
        """
        plain = patch_scores.device.type == "cpu" and patch_scores.dtype == torch.float32
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or not plain:
            return super().compute_anomaly_map(patch_scores, image_size)
        vertical, horizontal = self._axes(patch_scores.shape[-2:], image_size or patch_scores.shape[-2:])
        # In double precision, which set_float32_matmul_precision does not round.
        return (vertical @ patch_scores.double() @ horizontal).float()

    def _axes(self, size: torch.Size, image_size: tuple[int, int] | torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        kernel = self.blur.kernel
        key = (tuple(size), tuple(image_size), kernel.data_ptr(), None if kernel.is_inference() else kernel._version)
        if self._operators is None or self._operators[0] != key:
            square = kernel[0, 0].double()  # an outer product that sums up to 1
            self._operators = (
                key,
                _axis(size[0], image_size[0], square.sum(dim=1)),
                _axis(size[1], image_size[1], square.sum(dim=0)).T.contiguous(),
            )
        return self._operators[1], self._operators[2]


def _axis(n_patches: int, n_pixels: int, kernel: torch.Tensor) -> torch.Tensor:
    """What each patch adds to each pixel along one axis, (n_pixels, n_patches)."""
    unit = torch.eye(n_patches, dtype=kernel.dtype)[:, None]  # (n_patches, 1, n_patches)
    enlarged = F.interpolate(unit, size=n_pixels)
    mirrored = F.pad(enlarged, (len(kernel) // 2, len(kernel) // 2), mode="reflect")
    return F.conv1d(mirrored, kernel[None, None])[:, 0].T.contiguous()
