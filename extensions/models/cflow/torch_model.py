"""CFlow-AD's network: one conditional flow a layer, and a map that depends on nothing but the image."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.cflow.torch_model import CflowModel as AnomalibCflowModel
from anomalib.models.image.cflow.utils import get_logp, positional_encoding_2d
from torch import nn
from torch.nn import functional as F

from extensions.backbones.frozen import FrozenFeatureExtractor, freeze
from extensions.models.cflow.flow import faster
from extensions.models.common.inside import Inside, find_inside

# Fibers in one pass of a decoder when nothing is learned: bounds memory, changes no score.
INFERENCE_FIBERS = 8192


class CflowModel(AnomalibCflowModel):
    """Anomalib's CFlow network with scores that do not depend on the other images of a batch.

    A fiber is the feature vector at one position. Shapes: images (N, 3, H, W) -> pred_score (N,), anomaly_map
    (N, 1, H, W), both higher for more anomalous.

    Likelihoods are scaled by their maximum before layers are added. The paper takes the maximum over the whole test
    set, anomalib over the batch, which moves all scores of a batch together; here it is that of the training fibers
    in the last epoch (buffer `max_log_prob`, one a layer).
    """

    encoder: FrozenFeatureExtractor
    max_log_prob: torch.Tensor

    def __init__(self, backbone: str, layers: Sequence[str], **kwargs: int | float | str | bool) -> None:
        super().__init__(backbone=backbone, layers=layers, pre_trained=False, **kwargs)
        self.encoder = freeze(self.encoder)
        self.decoders: nn.ModuleList = nn.ModuleList(map(faster, self.decoders))
        self.register_buffer("max_log_prob", torch.full((len(layers),), -torch.inf))

    def condition(self, height: int, width: int) -> torch.Tensor:
        """Return the encoding of every position, row by row: (height * width, condition_vector)."""
        encoding = positional_encoding_2d(self.condition_vector, height, width)
        return encoding.flatten(1).T.to(self.max_log_prob.device)

    def log_prob(self, layer_index: int, fibers: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the log-likelihood of fibers (n, C) under conditions (n, condition_vector), a channel: (n,)."""
        latent, log_jacobian = self.decoders[layer_index](fibers, [condition])
        return get_logp(fibers.shape[1], latent, log_jacobian) / fibers.shape[1]

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        """Score images."""
        return self.score(self.log_prob_maps(images), images.shape[-2:], inside=find_inside(self, images))

    def log_prob_maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Log-likelihood of each position, a channel: for each layer (N, 1, h, w)."""
        features = self.encoder(images)
        return [self._log_prob_map(index, features[layer]) for index, layer in enumerate(self.pool_layers)]

    def score(
        self, log_prob_maps: Sequence[torch.Tensor], size: Sequence[int], *, inside: Inside | None = None
    ) -> InferenceBatch:
        """Score images of a height and width in px by their log-likelihoods; by those inside where not all counts."""
        enlarge = partial(F.interpolate, size=tuple(size), mode="bilinear", align_corners=True)
        peaks = torch.where(self.max_log_prob.isfinite(), self.max_log_prob, 0.0)  # not trained yet: leave unscaled
        likelihood = log_prob_maps[0].new_zeros((log_prob_maps[0].shape[0], 1, *size))  # (N, 1, H, W)
        for layer_map, peak in zip(log_prob_maps, peaks, strict=True):
            scaled = (layer_map - peak).exp()
            likelihood = likelihood + (
                enlarge(scaled) if inside is None else inside.spread(enlarge, scaled, key="layer")
            )
        anomaly_map = len(self.pool_layers) - likelihood
        if inside is not None:
            anomaly_map = anomaly_map * inside.pixels
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

    @torch.no_grad()
    def _log_prob_map(self, layer_index: int, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, 1, h, w)."""
        n_images, _, height, width = features.shape
        fibers = to_fibers(features)
        condition = self.condition(height, width).repeat(n_images, 1)
        if torch.compiler.is_compiling():
            # Chunks would be baked into an exported model, and with them the batch size.
            return self.log_prob(layer_index, fibers, condition).reshape(n_images, 1, height, width)
        chunks = [
            self.log_prob(layer_index, fibers_chunk, condition_chunk)
            for fibers_chunk, condition_chunk in zip(
                fibers.split(INFERENCE_FIBERS), condition.split(INFERENCE_FIBERS), strict=True
            )
        ]
        return torch.cat(chunks).reshape(n_images, 1, height, width)


def to_fibers(features: torch.Tensor) -> torch.Tensor:
    """(N, C, h, w) -> (N * h * w, C)."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def shuffled_batches(n_fibers: int, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield all indices in random order (torch's global generator), the remainder with the last batch.

    Fewer fibers than `batch_size` make one batch, where anomalib stops with an error.
    """
    order = torch.randperm(n_fibers)
    n_batches = max(1, n_fibers // batch_size)
    for index in range(n_batches):
        end = n_fibers if index == n_batches - 1 else (index + 1) * batch_size
        yield order[index * batch_size : end]
