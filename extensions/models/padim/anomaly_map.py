"""PaDiM's anomaly map: distances measured, enlarged and blurred."""

import torch
from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator as AnomalibAnomalyMapGenerator

from extensions.models.common.separable_upsampling import SeparableUpsampler
from extensions.models.common.threads import one_thread_each

N_POSITIONS = 64  # measured at a time: their differences stay in the processor's cache


class AnomalyMapGenerator(AnomalibAnomalyMapGenerator):
    """Anomalib's maps without its two-dimensional convolution, and its distances without copies of whole batches."""

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

    @staticmethod
    def compute_distance(embedding: torch.Tensor, stats: list[torch.Tensor]) -> torch.Tensor:
        """Mahalanobis distances, on CPUs a few positions at a time, equal but for rounding.

        Args:
            embedding: (N, C, h, w).
            stats: Mean (C, h * w) and inverse covariance (h * w, C, C).

        Returns:
            (N, 1, h, w), higher is more anomalous.
        """
        mean, inverse = stats
        if not SeparableUpsampler.can_do(embedding) or embedding.requires_grad:
            return AnomalibAnomalyMapGenerator.compute_distance(embedding, stats)
        features = embedding.flatten(2)  # (N, C, P)

        def measure(start: int) -> torch.Tensor:
            piece = slice(start, start + N_POSITIONS)
            delta = (features[:, :, piece] - mean[:, piece]).permute(2, 0, 1).contiguous()  # (p, N, C)
            return torch.bmm(delta, inverse[piece]).mul_(delta).sum(dim=2)  # (p, N)

        with one_thread_each() as pool:
            squares = torch.cat(list(pool.map(measure, range(0, features.shape[2], N_POSITIONS))))  # (P, N)
        return squares.T.reshape(len(embedding), 1, *embedding.shape[-2:]).clamp(0).sqrt()

    def enlarge(self, distances: torch.Tensor, image_size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Distances (N, 1, h, w) as blurred maps of this height and width in px."""
        if not SeparableUpsampler.can_do(distances):
            return self.smooth_anomaly_map(self.up_sample(distances, image_size))
        return self._upsample(distances, image_size, self.blur.kernel)
