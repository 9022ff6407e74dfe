"""PatchCore's anomaly map: scores of patches enlarged and blurred."""

import torch
from anomalib.models.image.patchcore.anomaly_map import AnomalyMapGenerator as AnomalibAnomalyMapGenerator

from extensions.models.common.separable_upsampling import SeparableUpsampler


class AnomalyMapGenerator(AnomalibAnomalyMapGenerator):
    """Anomalib's maps without its two-dimensional convolution."""

    def __init__(self, sigma: int = 4) -> None:
        super().__init__(sigma)
        self._upsample = SeparableUpsampler("nearest")

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
        if not SeparableUpsampler.can_do(patch_scores):
            return super().compute_anomaly_map(patch_scores, image_size)
        return self._upsample(patch_scores, image_size or patch_scores.shape[-2:], self.blur.kernel)
