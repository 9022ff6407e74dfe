"""PaDiM's Gaussians: how many channels, and mean and inverse covariance for each position."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.padim.torch_model import PadimModel as AnomalibPadimModel
from torch.nn import functional as F

from extensions.backbones.frozen import FrozenFeatureExtractor, freeze
from extensions.models.common.inside import Inside, find_inside
from extensions.models.common.limits import check_fitted
from extensions.models.common.threads import one_thread_each
from extensions.models.padim.anomaly_map import AnomalyMapGenerator
from extensions.models.padim.exported import ExportedPadim

# Channels kept in the paper (Defard et al. 2021, section V.A).
N_FEATURES = {"resnet18": 100, "wide_resnet50_2": 550}

# Other backbones keep as many as the paper's small one: n channels cost 4 n² bytes a position, so at 256 px and
# stride 4 (4096 positions) 100 make a model of 164 MB and 550 one of 5 GB.
N_FEATURES_OTHERWISE = 100

SMALL = 2**15  # numbers, up to which torch itself computes by one thread


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
        self.masks: list[torch.Tensor] = []  # of each batch whose positions inside differ by image, (N, P)

    def forward(self, input_tensor: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their embeddings.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        check_fitted("Padim", self.gaussian.inv_covariance, training=self.training)
        inside = find_inside(self, input_tensor)
        if inside is not None:
            return self._forward_inside(input_tensor, inside)
        output = super().forward(input_tensor)
        if isinstance(output, InferenceBatch):
            return output._replace(pred_score=output.pred_score.flatten())  # (N,)
        return output

    def _forward_inside(self, images: torch.Tensor, inside: Inside) -> torch.Tensor | InferenceBatch:
        """As `forward`, with a Gaussian for each position inside; of those that are never inside it scores 0."""
        with torch.no_grad():
            embedding = self.generate_embedding(self.feature_extractor(images))
        size = embedding.shape[-2:]
        kept = inside.gathered(embedding) if inside.is_fixed else embedding  # (N, C, P, 1) or (N, C, h, w)
        if self.training:
            self.memory_bank.append(kept)
            if not inside.is_fixed:
                self.masks.append(inside.positions(size).flatten(1))
            return kept
        scores = self.anomaly_map_generator.compute_distance(kept, [self.gaussian.mean, self.gaussian.inv_covariance])
        if inside.is_fixed:
            scores = inside.scattered(scores.flatten(1), size)
        anomaly_map = inside.spread(
            lambda maps: self.anomaly_map_generator.enlarge(maps, images.shape[-2:]), scores, key="map"
        )
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

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
            _enlarge_into(embedding, drawn, features[layer], self.idx[drawn] - start)
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
        batches = [batch.flatten(2) for batch in self.memory_bank]
        masks = torch.cat(self.masks) if self.masks else None
        self.memory_bank, self.masks = [], []
        self.gaussian.mean, self.gaussian.inv_covariance = fit_gaussians(batches, masks=masks)


def _enlarge_into(embedding: torch.Tensor, places: torch.Tensor, maps: torch.Tensor, channels: torch.Tensor) -> None:
    """Write channels of maps (N, C, h, w) to these places of an embedding (N, n, H, W), each enlarged to the nearest.

    Whole multiples are repeated straight to their place, which spares two copies; a channel at a time by one thread
    each, for all threads together would wait for each other at each channel. Of an image or two a channel takes less
    time than handing it to a thread.
    """
    size, (height, width) = embedding.shape[-2:], maps.shape[-2:]
    if embedding.device.type != "cpu" or size[0] % height or size[1] % width or maps.requires_grad:
        if len(places):
            embedding[:, places] = F.interpolate(maps.index_select(1, channels), size=size, mode="nearest")
        return
    blocks = embedding.view(*embedding.shape[:2], height, size[0] // height, width, size[1] // width)

    def write(place: int, channel: int) -> None:
        with torch.inference_mode(embedding.is_inference()):  # which other threads are not in
            blocks[:, place] = maps[:, channel, :, None, :, None]

    if embedding[:, 0].numel() < SMALL:
        for place, channel in zip(places.tolist(), channels.tolist(), strict=True):
            write(place, channel)
        return
    with one_thread_each() as pool:
        list(pool.map(write, places.tolist(), channels.tolist()))


def fit_gaussians(
    batches: Sequence[torch.Tensor], *, n_positions: int = 64, masks: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimate mean and inverse covariance for each position, regularized as anomalib does.

    Args:
        batches: (N, C, P) each, of any N; only a few positions of them are ever joined.
        n_positions: Positions worked on at a time; bounds the scratch memory, not the result.
        masks: (N, P) of all images, 1 where an image counts, else 0; None counts all. Positions that fewer than two
            images count at get an inverse covariance of zeros, by which nothing is far from them.

    Returns:
        mean (C, P), inverse covariance (P, C, C).

    Raises:
        ValueError: Fewer than two images.
    """
    first, n_images = batches[0], sum(map(len, batches))
    n_channels, n_all = first.shape[1:]
    if n_images < 2:
        msg = f"PaDiM needs at least 2 training images to estimate a covariance, found {n_images}."
        raise ValueError(msg)
    counts = first.new_full((n_all,), n_images) if masks is None else masks.sum(dim=0)  # (P,)
    mean = first.new_empty((n_channels, n_all))
    # 0.01 is the paper's regularization; anomalib adds 1e-5 of its own.
    ridge = (0.01 + 1e-5) * torch.eye(n_channels, device=first.device, dtype=first.dtype)
    inverses = first.new_empty((n_all, n_channels, n_channels))

    def estimate(start: int) -> None:
        piece = slice(start, start + n_positions)
        features = torch.cat([batch[:, :, piece] for batch in batches])  # (N, C, p)
        count = counts[piece]
        if masks is None:
            mean[:, piece] = features.mean(dim=0)
        else:
            mean[:, piece] = (features * masks[:, None, piece]).sum(dim=0) / count.clamp_min(1)
        centered = (features - mean[:, piece]).permute(2, 0, 1).contiguous()  # (p, N, C)
        if masks is not None:
            centered = centered * masks.T[piece, :, None]
        covariance = centered.mT @ centered / (count[:, None, None] - 1).clamp_min(1)  # (p, C, C)
        inverse = _inverse(covariance + ridge)
        inverses[piece] = inverse if masks is None else inverse * (count[:, None, None] >= 2)

    with one_thread_each() if first.device.type == "cpu" else nullcontext() as pool:
        for _ in (pool.map if pool else map)(estimate, range(0, n_all, n_positions)):
            pass
    return mean, inverses


def _inverse(covariances: torch.Tensor) -> torch.Tensor:
    """Of covariances (p, C, C), by Cholesky in half the time; one not definite in float32 by LU, as anomalib."""
    factors, failed = torch.linalg.cholesky_ex(covariances)
    inverses = torch.cholesky_inverse(factors)
    for place in failed.nonzero().flatten().tolist():
        inverses[place] = torch.linalg.inv(covariances[place])
    return inverses


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
