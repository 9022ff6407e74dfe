"""RegAD's network laid out for an exported model: enlarging and blur are one matrix for each axis."""

import torch
from anomalib.data import InferenceBatch
from torch import nn

from extensions.models.common.separable_upsampling import SeparableUpsampler
from extensions.models.reg_ad.extractor import TransformedFeatureExtractor
from extensions.models.reg_ad.gaussian import PositionGaussians


class ExportedRegAd(nn.Module):
    """A fitted RegAD for images of one size, any number of them at once; its transformers look at each image anew.

    Shapes: images (N, 3, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        feature_extractor: Gives the registered features.
        gaussian: Fitted to such features.
        kernel: (1, 1, k, k) of the blur, an outer product that sums up to 1.
        image_size: Height and width in px of the images it will get.

    Raises:
        ValueError: It was fitted to images of another size.
    """

    vertical: torch.Tensor
    horizontal: torch.Tensor

    def __init__(
        self,
        feature_extractor: TransformedFeatureExtractor,
        gaussian: PositionGaussians,
        *,
        kernel: torch.Tensor,
        image_size: tuple[int, int],
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.gaussian = gaussian
        self.layers = list(map(str, feature_extractor.layers))
        with torch.no_grad():
            seen = self.feature_extractor(self.gaussian.factor.new_zeros(1, 3, *image_size))[self.layers[0]]
        fitted = self.gaussian.means[0]
        if seen.shape[-2:] != fitted.shape[-2:]:
            msg = (
                f"this RegAD was fitted to feature maps of {fitted.shape[-2]} x {fitted.shape[-1]}, but images of "
                f"{image_size[0]} x {image_size[1]} px give {seen.shape[-2]} x {seen.shape[-1]}: export it with the "
                "image_size that it was trained with."
            )
            raise ValueError(msg)
        vertical, horizontal = SeparableUpsampler("bilinear").matrices(fitted.shape[-2:], image_size, kernel)
        self.register_buffer("vertical", vertical.float())
        self.register_buffer("horizontal", horizontal.float())

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        """Score images."""
        features = self.feature_extractor.registered(images)
        distances = self.gaussian([features[layer] for layer in self.layers])  # (N, 1, h, w)
        anomaly_map = self.vertical @ distances @ self.horizontal  # (N, 1, H, W)
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)
