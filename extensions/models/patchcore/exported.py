"""PatchCore's network laid out for an exported model: one product with the bank, and neighbors of one patch only."""

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from torch import nn
from torch.nn import functional as F

from extensions.backbones.input_channels import in_channels
from extensions.backbones.transformers import is_transformer
from extensions.models.common.exported_map import ExportedMap
from extensions.models.patchcore.foreground import or_all, pca_foreground


class ExportedPatchcore(nn.Module):
    """A fitted PatchCore for images of one size, any number of them at once.

    The distances of all patches need the least of |x|² - 2 x·y + |y|² over the bank, not which row has it; that, and
    exact distances, are looked up for the farthest patch of each image alone. Patches and bank are taken relative to
    the bank's mean, where the sum cancels less. Of a transformer's tokens all distances are looked up. Enlarging and
    blur are one matrix for each axis.

    Shapes: images (N, C, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        model: The fitted network.
        image_size: Height and width in px of the images it will get.

    Raises:
        ValueError: It was not fitted.
    """

    def __init__(self, model: PatchcoreModel, image_size: tuple[int, int]) -> None:
        super().__init__()
        if not len(model.memory_bank):
            msg = "this PatchCore has an empty memory bank, so there is nothing to export: fit it first."
            raise ValueError(msg)
        self.feature_extractor = model.feature_extractor
        self.pool = nn.AvgPool2d(model.feature_pooler.kernel_size, 1, model.feature_pooler.padding)
        self.layers = list(model.layers)
        self.unit_patches = bool(getattr(model, "unit_patches", False))
        has_foreground = getattr(model, "foreground", None) is not None
        self.threshold = float(model.foreground_threshold) if has_foreground else None
        # Tokens are long and near to each other, so that the sum cancels more; beside their network this costs little.
        self.looks_up = is_transformer(str(model.feature_extractor.backbone))
        bank = model.memory_bank.double()
        mean = bank.mean(dim=0)
        self.register_buffer("mean", mean.float())
        self.register_buffer("bank", (bank - mean).float())  # (M, C)
        self.register_buffer("factors", -2 * self.bank.T.contiguous())  # (C, M)
        self.register_buffer("squares", self.bank.pow(2).sum(dim=1))  # (M,)
        # Of a sum over C channels, as a share: what is less is a patch of the bank itself, whose distance is 0.
        self.rounding = float(bank.shape[1] ** 0.5 * torch.finfo(torch.float32).eps)
        self.n_neighbors = min(model.num_neighbors, len(bank))
        with torch.no_grad():
            empty = mean.new_zeros(1, in_channels(model.feature_extractor), *image_size).float()
            first = model.feature_extractor(empty)[self.layers[0]]
        self.map_size = (first.shape[-2], first.shape[-1])
        kernel = model.anomaly_map_generator.blur.kernel.float()
        self.enlarge = ExportedMap(
            "nearest",
            map_size=self.map_size,
            image_size=image_size,
            kernel=kernel,
            inside=getattr(model, "inside", None),
        )

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        """Score images."""
        features = self.feature_extractor(images)
        pooled = [self.pool(features[layer]) for layer in self.layers]
        enlarged = [pooled[0], *(F.interpolate(maps, size=self.map_size, mode="bilinear") for maps in pooled[1:])]
        inside, counted = self.enlarge.find(images)
        embedding = self.enlarge.kept(torch.cat(enlarged, dim=1).flatten(2).transpose(1, 2))  # (N, P, C)
        if self.unit_patches:
            embedding = embedding / embedding.pow(2).sum(dim=2, keepdim=True).sqrt().clamp_min(1e-12)
        embedding = embedding - self.mean
        distances = self._distances(embedding)  # (N, P)
        if counted is not None:
            distances = distances * counted
        if self.threshold is not None:
            mask = or_all(pca_foreground(features[self.layers[-1]], threshold=self.threshold))
            distances = distances * self.enlarge.kept(mask.flatten(2).transpose(1, 2))[..., 0]
        anomaly_map = self.enlarge(distances, inside)  # (N, 1, H, W)
        return InferenceBatch(pred_score=self._score(embedding, distances), anomaly_map=anomaly_map)

    def _distances(self, embedding: torch.Tensor) -> torch.Tensor:
        """Of patches (N, P, C) to their nearest in the bank: (N, P)."""
        squared = self._squared(embedding)  # (N, P, M)
        if self.looks_up:
            return (embedding - self.bank[squared.argmin(dim=2)]).pow(2).sum(dim=2).sqrt()
        own = embedding.pow(2).sum(dim=2)
        found = squared.amin(dim=2) + own
        return torch.where(found > self.rounding * own, found, 0.0).sqrt()

    def _squared(self, patches: torch.Tensor) -> torch.Tensor:
        """Squared distances of patches (..., C) to the bank, less the patches' own squares: (..., M)."""
        return patches @ self.factors + self.squares

    def _score(self, embedding: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """Distance of the farthest patch, weighted by how far its nearest neighbor is from its own neighbors: (N,)."""
        if self.n_neighbors == 1:
            return distances.amax(dim=1)
        place = distances.argmax(dim=1)[:, None, None].expand(-1, 1, embedding.shape[2])
        farthest = embedding.gather(1, place)[:, 0]  # (N, C)
        nearest = self.bank[self._squared(farthest).argmin(dim=1)]  # (N, C)
        neighbors = self._squared(nearest).topk(self.n_neighbors, dim=1, largest=False).indices  # (N, K)
        to_neighbors = (farthest[:, None] - self.bank[neighbors]).pow(2).sum(dim=2).sqrt()  # (N, K)
        weight = 1 - to_neighbors.softmax(dim=1)[:, 0]  # of the first, which is the nearest row itself
        return weight * (farthest - nearest).pow(2).sum(dim=1).sqrt()
