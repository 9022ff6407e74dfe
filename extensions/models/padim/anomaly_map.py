"""PaDiM's anomaly map: distances enlarged and blurred."""

import torch
from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator as AnomalibAnomalyMapGenerator

from extensions.models.common.separable_upsampling import SeparableUpsampler


class AnomalyMapGenerator(AnomalibAnomalyMapGenerator):
    """Anomalib's maps without its two-dimensional convolution."""

    def __init__(self, sigma: int = 4) -> None:
        super().__init__(sigma)
        self._upsample = SeparableUpsampler("bilinear")

    def compute_anomaly_map(
        self,
        embedding: torch.Tensor,
        mean: torch.Tensor,
        inv_covariance: torch.Tensor,
        image_size: tuple[int, int] | torch.Size | None = None,
    ) -> torch.Tensor:
        """Measure, enlarge and blur.

        Args:
            embedding: (N, C, h, w).
            mean: (C, h * w).
            inv_covariance: (h * w, C, C).
            image_size: Height and width of the maps in px; None leaves the size as it is.

        Returns:
            (N, 1, height, width), higher is more anomalous.
        """
        distances = self.compute_distance(embedding, [mean, inv_covariance])
        return self.enlarge(distances, image_size or distances.shape[-2:])

    def enlarge(self, distances: torch.Tensor, image_size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Distances (N, 1, h, w) as blurred maps of this height and width in px."""
        if not SeparableUpsampler.can_do(distances):
            return self.smooth_anomaly_map(self.up_sample(distances, image_size))
        return self._upsample(distances, image_size, self.blur.kernel)
