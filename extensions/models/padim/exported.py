"""PaDiM's network laid out for an exported model: the same scores from half the memory traffic."""

import itertools

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.padim.torch_model import PadimModel
from torch import nn
from torch.nn import functional as F

from extensions.backbones.input_channels import in_channels
from extensions.models.common.exported_map import ExportedMap

N_BLOCKS = 2  # of a whitening's columns: two leave out half of its zeros, and more make products too narrow to be fast


class ExportedPadim(nn.Module):
    """A fitted PaDiM for images of one size, any number of them at once.

    A Mahalanobis distance is the length of a whitened difference: with the inverse covariance W Wᵀ (W lower triangular,
    Cholesky's factor) d = |Wᵀ (x - mean)|. Each W is read once a batch and is half zeros, of which the first columns'
    block is spared; channels are drawn before maps are enlarged; enlarging and blur are one matrix for each axis.

    Shapes: images (N, C, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        model: The fitted network.
        image_size: Height and width in px of the images it will get.

    Raises:
        ValueError: It was fitted to images of another size.
    """

    def __init__(self, model: PadimModel, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.feature_extractor = model.feature_extractor
        self.layers = list(model.layers)
        with torch.no_grad():
            empty = model.gaussian.mean.new_zeros(1, in_channels(model.feature_extractor), *image_size)
            first = model.feature_extractor(empty)[self.layers[0]]
        self.map_size = (first.shape[-2], first.shape[-1])
        self.enlarge = ExportedMap(
            "bilinear",
            map_size=self.map_size,
            image_size=image_size,
            kernel=model.anomaly_map_generator.blur.kernel,
            inside=getattr(model, "inside", None),
        )
        n_positions, n_channels, _ = model.gaussian.inv_covariance.shape
        if n_positions != (
            self.map_size[0] * self.map_size[1] if self.enlarge.rows is None else len(self.enlarge.rows)
        ):
            msg = (
                f"this PaDiM was fitted to feature maps of {n_positions} positions, but images of {image_size[0]} x "
                f"{image_size[1]} px give {self.map_size[0]} x {self.map_size[1]}: export it with the image_size that "
                "it was trained with."
            )
            raise ValueError(msg)
        ends = torch.tensor(model.feature_extractor.out_dims).cumsum(0).tolist()
        order = []  # drawn channels, layer by layer
        for name, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            drawn = ((model.idx >= start) & (model.idx < end)).nonzero().flatten()
            order.append(drawn)
            self.register_buffer(f"drawn{name}", model.idx[drawn] - start)
        places = torch.cat(order)
        self.register_buffer("mean", model.gaussian.mean[places].T[:, None].contiguous())  # (P, 1, C)
        edges = torch.linspace(0, n_channels, min(N_BLOCKS, n_channels) + 1).round().int().tolist()
        self.starts = edges[:-1]
        for number, whitening in enumerate(whitenings(model.gaussian.inv_covariance, places, edges)):
            self.register_buffer(f"whitening{number}", whitening)

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        """Score images."""
        features = self.feature_extractor(images)
        drawn = [
            F.interpolate(features[layer].index_select(1, getattr(self, f"drawn{number}")), size=self.map_size)
            for number, layer in enumerate(self.layers)
            if len(getattr(self, f"drawn{number}"))  # chance may draw no channel of a layer
        ]
        embedding = self.enlarge.kept(torch.cat(drawn, dim=1).flatten(2).transpose(1, 2))  # (N, P, C)
        difference = embedding.transpose(0, 1) - self.mean  # (P, N, C)
        squares = [
            (difference[..., start:] @ getattr(self, f"whitening{number}")).pow(2).sum(dim=2)
            for number, start in enumerate(self.starts)
        ]
        distances = torch.stack(squares).sum(dim=0).sqrt().T  # (N, P)
        inside, counted = self.enlarge.find(images)
        if counted is not None:
            distances = distances * counted
        anomaly_map = self.enlarge(distances, inside)  # (N, 1, H, W)
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)


def whitenings(inverses: torch.Tensor, places: torch.Tensor, edges: list[int]) -> list[torch.Tensor]:
    """For each block of columns, first to last edge, what is not zero of it: (P, C - first, last - first)."""
    ordered = inverses[:, places][:, :, places].double()
    ordered = (ordered + ordered.mT) / 2  # symmetric but for rounding
    factors, failed = torch.linalg.cholesky_ex(ordered)
    for position in failed.nonzero().flatten():  # rounding left it a negative eigenvalue
        values, vectors = torch.linalg.eigh(ordered[position])
        root = vectors * values.clamp_min(0).sqrt()
        factors[position] = torch.linalg.qr(root.mT).R.mT
    blocks = itertools.pairwise(edges)
    return [factors[:, first:, first:last].float().contiguous() for first, last in blocks]
