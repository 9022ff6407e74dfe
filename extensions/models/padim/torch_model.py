"""PaDiM's Gaussians: how many channels, and mean and inverse covariance for each position."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.padim.torch_model import PadimModel as AnomalibPadimModel
from torch.nn import functional as F

from extensions.backbones.frozen import FrozenFeatureExtractor, freeze
from extensions.models.common.limits import check_fitted
from extensions.models.common.threads import one_thread_each
from extensions.models.padim.anomaly_map import AnomalyMapGenerator
from extensions.models.padim.exported import ExportedPadim

# Channels kept in the paper (Defard et al. 2021, section V.A).
N_FEATURES = {"resnet18": 100, "wide_resnet50_2": 550}

# Other backbones keep as many as the paper's small one: n channels cost 4 n² bytes a position, so at 256 px and
# stride 4 (4096 positions) 100 make a model of 164 MB and 550 one of 5 GB.
N_FEATURES_OTHERWISE = 100


class PadimModel(AnomalibPadimModel):
    """Anomalib's PaDiM network with the number of channels derived, and inverted in pieces instead of three copies.

    Shapes: images (N, 3, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous;
    gaussian.mean (n_features, P), gaussian.inv_covariance (P, n_features, n_features) for P positions.
    """

    feature_extractor: FrozenFeatureExtractor
    memory_bank: list[torch.Tensor]

    def __init__(self, layers: Sequence[str], *, backbone: str, pre_trained: bool, n_features: int) -> None:
        super().__init__(backbone=backbone, layers=layers, pre_trained=pre_trained, n_features=n_features)
        self.feature_extractor = freeze(self.feature_extractor)
        self.anomaly_map_generator = AnomalyMapGenerator()

    def forward(self, input_tensor: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their embeddings.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        check_fitted("Padim", self.gaussian.inv_covariance, training=self.training)
        output = super().forward(input_tensor)
        if isinstance(output, InferenceBatch):
            return output._replace(pred_score=output.pred_score.flatten())  # (N,)
        return output

    def generate_embedding(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """The drawn channels of all layers at the size of the first: (N, n_features, h, w).

        Channels are drawn before maps are enlarged, so that what is not drawn costs nothing.
        """
        first = features[self.layers[0]]
        if torch.compiler.is_compiling():
            return super().generate_embedding(features)
        embedding = first.new_empty((len(first), len(self.idx), *first.shape[-2:]))
        start = 0
        for layer in self.layers:
            end = start + features[layer].shape[1]
            drawn = ((self.idx >= start) & (self.idx < end)).nonzero().flatten()
            if len(drawn):
                maps = features[layer].index_select(1, self.idx[drawn] - start)
                embedding[:, drawn] = F.interpolate(maps, size=first.shape[-2:], mode="nearest")
            start = end
        return embedding

    def exportable(self, image_size: tuple[int, int]) -> torch.nn.Module:
        """The fitted network as an exported model computes it, for images of this height and width in px."""
        return ExportedPadim(self, image_size)

    def fit(self) -> None:
        """Fit one Gaussian a position to what training collected, and forget the images."""
        if len(self.memory_bank) < 1:
            msg = "PaDiM has seen no training images, so it cannot fit its Gaussians: fit first."
            raise ValueError(msg)
        embeddings = torch.vstack(self.memory_bank)
        self.memory_bank = []
        self.gaussian.mean, self.gaussian.inv_covariance = fit_gaussians(embeddings.flatten(2))


def fit_gaussians(embeddings: torch.Tensor, *, n_positions: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate mean and inverse covariance for each position, regularized as anomalib does.

    Args:
        embeddings: (N, C, P).
        n_positions: Positions worked on at a time; bounds the scratch memory, not the result.

    Returns:
        mean (C, P), inverse covariance (P, C, C).

    Raises:
        ValueError: Fewer than two images.
    """
    n_images, n_channels, _ = embeddings.shape
    if n_images < 2:
        msg = f"PaDiM needs at least 2 training images to estimate a covariance, found {n_images}."
        raise ValueError(msg)
    mean = embeddings.mean(dim=0)  # (C, P)
    # 0.01 is the paper's regularization; anomalib adds 1e-5 of its own.
    ridge = (0.01 + 1e-5) * torch.eye(n_channels, device=embeddings.device, dtype=embeddings.dtype)
    inverses = embeddings.new_empty((embeddings.shape[2], n_channels, n_channels))
    pieces = [slice(start, start + n_positions) for start in range(0, embeddings.shape[2], n_positions)]

    def invert(piece: slice) -> torch.Tensor:
        centered = (embeddings[:, :, piece] - mean[:, piece]).permute(2, 0, 1)  # (p, N, C)
        covariance = centered.mT @ centered / (n_images - 1)  # (p, C, C)
        return torch.linalg.inv(covariance + ridge)

    with one_thread_each() if embeddings.device.type == "cpu" else nullcontext() as pool:
        for piece, inverse in zip(pieces, (pool.map if pool else map)(invert, pieces), strict=True):
            inverses[piece] = inverse
    return mean, inverses


def derive_n_features(backbone: str, layers: Sequence[str], n_channels: int, n_features: int | None = None) -> int:
    """Return how many of the layers' channels PaDiM keeps.

    Args:
        backbone: timm name.
        layers: Named in the error.
        n_channels: Channels of all layers together.
        n_features: As asked for; None takes the paper's number for the backbone, 100 where it has none, or all
            channels when there are fewer.

    Raises:
        ValueError: More than there are, or fewer than one.
    """
    if n_features is None:
        return min(N_FEATURES.get(backbone.split(".")[0], N_FEATURES_OTHERWISE), n_channels)
    if not 0 < n_features <= n_channels:
        msg = (
            f"n_features is {n_features}, but {', '.join(layers)} of {backbone} have {n_channels} channels together: "
            f"choose 1 to {n_channels}, or leave it out."
        )
        raise ValueError(msg)
    return n_features
