"""PatchCore's memory bank: collected once, selected exactly and fast, searched in chunks or, for export, at once."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel as AnomalibPatchcoreModel
from torch.nn import functional as F

from extensions.backbones.feature_source import Features
from extensions.backbones.frozen import FrozenFeatureExtractor, freeze
from extensions.models.common.inside import Inside, find_inside
from extensions.models.common.limits import check_fitted
from extensions.models.patchcore.anomaly_map import AnomalyMapGenerator
from extensions.models.patchcore.coreset import NESTED, select_coreset
from extensions.models.patchcore.coreset_search import Checkpoint
from extensions.models.patchcore.exported import ExportedPatchcore
from extensions.models.patchcore.foreground import THRESHOLD, or_all, pca_foreground
from extensions.models.patchcore.neighbors import NearestNeighbors, is_searchable
from extensions.models.patchcore.patch_store import PatchStore

SCRATCH_BYTES = 2**28  # of a chunk's distances, where the bank cannot be searched by `NearestNeighbors`


class NeighborhoodPool(torch.nn.AvgPool2d):
    """Average pooling that lays channels side by side on CPUs, where that is several times faster and equal in bits."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Feature maps (N, C, h, w) -> the same shape."""
        return super().forward(maps.contiguous(memory_format=torch.channels_last) if is_plain(maps) else maps)


class PatchcoreModel(AnomalibPatchcoreModel):
    """Anomalib's PatchCore network with another coreset selection that gives the same bank.

    Shapes: images (N, 3, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous;
    memory_bank (n_patches, n_channels).

    Peaks of memory, for a training set of A = images x height x width of the first feature map x n_channels x 4 bytes
    and a bank of B = A x coreset_sampling_ratio:

    - fit: A, the coreset's random projection (A x its channels / n_channels) and B, beside a batch in the network.
      Above `max_memory_bytes` A lies in a file, and so may the projection: A bytes of disk, no more memory.
    - predict: 2 B (the bank and, on CPUs, what is searched instead of it), at most about 100 MB a thread for a chunk
      of queries (256 MB on GPUs), beside a batch in the network with its (N x h x w, n_channels) patches.

    Args:
        neighborhood: Side of the square of feature map positions that is averaged into a patch, odd.
        coreset: How the bank's patches are selected, see `select_coreset`.
        coreset_start: Its `start`.
        coreset_projection: Its `projection`.
        max_memory_bytes: As in `extensions.Patchcore`.
        foreground: Likewise.
        foreground_threshold: Likewise.
        unit_patches: Likewise.
    """

    feature_extractor: FrozenFeatureExtractor
    _n_patches: int = 0  # of an image
    _searched: tuple[torch.Tensor, int, NearestNeighbors | None] | None = None  # the bank, its version, its search

    def __init__(
        self,
        layers: Sequence[str],
        *,
        backbone: str,
        pre_trained: bool,
        num_neighbors: int,
        neighborhood: int,
        coreset: str = "greedy",
        coreset_start: str = "random",
        coreset_projection: bool = True,
        max_memory_bytes: int | None = None,
        foreground: str | None = None,
        foreground_threshold: float = THRESHOLD,
        unit_patches: bool = False,
    ) -> None:
        super().__init__(layers=layers, backbone=backbone, pre_trained=pre_trained, num_neighbors=num_neighbors)
        self.feature_extractor = freeze(self.feature_extractor)
        self.foreground = foreground
        self.foreground_threshold = foreground_threshold
        self.unit_patches = unit_patches
        self.coreset, self.coreset_start, self.coreset_projection = coreset, coreset_start, coreset_projection
        self.feature_pooler = NeighborhoodPool(neighborhood, stride=1, padding=neighborhood // 2)
        self.anomaly_map_generator = AnomalyMapGenerator()
        self.embedding_store = PatchStore(max_memory_bytes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be built again from the bank."""
        return {name: value for name, value in self.__dict__.items() if name != "_searched"}

    def forward(self, input_tensor: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their patches, or the promise of them where the bank may be known.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        check_fitted("Patchcore", self.memory_bank, training=self.training)
        source = self.feature_extractor.source if self.training else None
        inside = find_inside(self, input_tensor)
        # So that all images have as many patches.
        is_regular = self.foreground is None and (inside is None or inside.is_fixed)
        if source is None or self.tiler or not is_regular:
            return self._forward(input_tensor, inside)
        find = source.promise(input_tensor) if len(self.embedding_store) else None
        if find is None:
            patches = self._forward(input_tensor, inside)
            assert isinstance(patches, torch.Tensor)
            self._n_patches = len(patches) // len(input_tensor)
            return patches
        n_rows = self._n_patches * len(input_tensor)
        self.embedding_store.append_later(n_rows, lambda: self._patches(find(), inside))
        return input_tensor.new_empty(0)

    def _forward(self, images: torch.Tensor, inside: Inside | None) -> torch.Tensor | InferenceBatch:
        is_own = self.foreground is not None or self.unit_patches
        if inside is None and not is_own:
            return super().forward(images)
        if is_own and self.tiler is not None:
            msg = "foreground and unit_patches do not work with anomalib's tiler: set `tiling` of the data set instead"
            raise ValueError(msg)
        with torch.no_grad():
            features = self.feature_extractor(images.type(self.memory_bank.dtype))
        size = features[self.layers[0]].shape[-2:]
        if self.training:
            patches = self._patches(features, inside, self._find_foreground(features))
            self.embedding_store.append(patches)
            return patches
        is_fixed = inside is not None and inside.is_fixed
        patches = self._patches(features, inside if is_fixed else None)
        distances, places = (found.reshape(len(images), -1) for found in self.nearest_neighbors(patches, 1))  # (N, P)
        if (found := self._find_foreground(features)) is not None:
            counted = or_all(found).to(distances).flatten(1)
            distances = distances * (counted[:, inside.rows(size)] if inside is not None and is_fixed else counted)
        if inside is not None and not is_fixed:
            distances = distances * inside.positions(size).flatten(1).to(distances)
        pred_score = self.compute_anomaly_score(distances, places, patches)
        scores = inside.scattered(distances, size) if inside and is_fixed else distances.reshape(-1, 1, *size)

        def enlarge(maps: torch.Tensor) -> torch.Tensor:
            return self.anomaly_map_generator(maps, images.shape[-2:])

        anomaly_map = enlarge(scores) if inside is None else inside.spread(enlarge, scores, key="map")
        return InferenceBatch(pred_score=pred_score, anomaly_map=anomaly_map)

    def _find_foreground(self, features: Features) -> torch.Tensor | None:
        """Positions (N, 1, h, w) that count by the tokens of the last layer, 1, else 0; None where all do."""
        if self.foreground is None:
            return None
        return pca_foreground(features[self.layers[-1]], threshold=self.foreground_threshold)

    def _patches(
        self, features: Features, inside: Inside | None = None, foreground: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Patches (N x h x w, n_channels) of feature maps, or those of them that are inside and of the foreground."""
        pooled = {layer: self.feature_pooler(feature) for layer, feature in features.items()}
        patches = self.reshape_embedding(self.generate_embedding(pooled))
        if self.unit_patches:  # in place, for it may be where the store keeps them
            patches.div_(patches.norm(dim=1, keepdim=True).clamp_min(1e-12))
        if inside is None and foreground is None:
            return patches
        first = features[self.layers[0]]
        positions = first.new_ones(len(first), 1, *first.shape[-2:])
        if inside is not None:
            positions = positions * inside.positions(first.shape[-2:]).to(first)
        if foreground is not None:
            positions = positions * foreground.to(first)
        return patches[positions.flatten() > 0]

    def generate_embedding(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        """All layers' channels at the size of the first: (N, n_channels, h, w).

        On CPUs the channels of a position lie side by side, so that a patch is a row without another copy; in
        training each layer is written to where the store keeps the patches.
        """
        first = features[self.layers[0]]
        if not is_plain(first):
            return super().generate_embedding(features)
        ends = list(itertools.accumulate(features[layer].shape[1] for layer in self.layers))
        height, width = first.shape[-2:]
        n_patches = len(first) * height * width
        rows = self.embedding_store.place(n_patches, first.new_empty(0, ends[-1])) if self.training else None
        if rows is None:
            rows = first.new_empty(n_patches, ends[-1])
        embedding = rows.view(len(first), height, width, ends[-1]).permute(0, 3, 1, 2)  # (N, n_channels, h, w)
        for layer, (start, end) in zip(self.layers, itertools.pairwise([0, *ends]), strict=True):
            maps = features[layer]
            enlarged = maps if layer == self.layers[0] else F.interpolate(maps, size=(height, width), mode="bilinear")
            embedding[:, start:end] = enlarged
        return embedding

    def subsample_embedding(self, sampling_ratio: float) -> None:
        """Replace the memory bank by a coreset of what training collected, and forget the rest.

        Args:
            sampling_ratio: Share of patches that is kept.

        Raises:
            ValueError: Nothing was collected, or the bank would hold fewer patches than neighbors are asked for.
        """
        n_patches = len(self.embedding_store)
        if not n_patches and self.foreground is not None:
            msg = (
                f"PatchCore collected no patches: it has seen no training images, or found no foreground in any "
                f"(foreground={self.foreground!r}, foreground_threshold={self.foreground_threshold}); lower the "
                "threshold, which is for DINOv2's tokens, or leave foreground out."
            )
            raise ValueError(msg)
        if not n_patches:
            msg = "PatchCore has seen no training images, so there is nothing to build its memory bank from: fit first."
            raise ValueError(msg)
        try:
            n_kept = int(n_patches * sampling_ratio)
            if n_kept < self.num_neighbors:
                msg = (
                    f"A coreset_sampling_ratio of {sampling_ratio} keeps {n_kept} of {n_patches} patches, fewer than "
                    f"num_neighbors={self.num_neighbors}: raise the ratio, lower num_neighbors or add training "
                    "images."
                )
                raise ValueError(msg)
            self.memory_bank = self._find_bank(n_kept, sampling_ratio)
        finally:
            self.embedding_store.clear()

    def _find_bank(self, n_kept: int, sampling_ratio: float) -> torch.Tensor:
        source = self.feature_extractor.source
        if source is None:
            return self._select_bank(sampling_ratio)
        described = {
            "coreset": self.coreset,
            "neighborhood": self.feature_pooler.kernel_size,
            "n_patches": len(self.embedding_store),
        }
        if self.foreground is not None:
            described |= {"foreground": self.foreground, "foreground_threshold": self.foreground_threshold}
        if self.unit_patches:
            described["unit_patches"] = True
        described |= {} if self.coreset_start == "random" else {"start": self.coreset_start}
        described |= {} if self.coreset_projection else {"projection": False}
        is_nested = self.coreset in NESTED
        return source.bank(n_kept, described, lambda kept: self._select_bank(sampling_ratio, kept), is_nested=is_nested)

    def _select_bank(self, sampling_ratio: float, checkpoint: Checkpoint | None = None) -> torch.Tensor:
        patches = self.embedding_store.matrix()
        scratch = self.embedding_store.scratch if self.embedding_store.in_file else None
        kept = select_coreset(
            patches,
            sampling_ratio=sampling_ratio,
            method=self.coreset,
            start=self.coreset_start,
            projection=self.coreset_projection,
            scratch=scratch,
            checkpoint=checkpoint,
        )
        if isinstance(patches, np.memmap):
            return torch.tensor(patches[kept.numpy()]).to(self.embedding_store.device)
        return patches[kept]

    def exportable(self, image_size: tuple[int, int]) -> torch.nn.Module:
        """The fitted network as an exported model computes it, for images of this height and width in px."""
        return ExportedPatchcore(self, image_size)

    def nearest_neighbors(self, embedding: torch.Tensor, n_neighbors: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest patches of the memory bank.

        Args:
            embedding: (n, n_channels).
            n_neighbors: How many.

        Returns:
            Distances and indices into the bank, nearest first: (n,) each for one neighbor, else (n, n_neighbors).
        """
        if torch.compiler.is_compiling():
            # The number of chunks would be baked into an exported model, and with it the batch size.
            return self._by_products(embedding, n_neighbors)
        search = self._search()
        if search is not None and embedding.device.type == "cpu" and embedding.dtype == torch.float32:
            queries = embedding.detach()
            return search.nearest(queries) if n_neighbors == 1 else search.k_nearest(queries, n_neighbors)
        row_bytes = 2 * self.memory_bank.shape[0] * self.memory_bank.element_size()
        parts = embedding.split(max(1, SCRATCH_BYTES // row_bytes))
        distances, indices = zip(*(self._by_products(part, n_neighbors) for part in parts), strict=True)
        return torch.cat(distances), torch.cat(indices)

    def _by_products(self, embedding: torch.Tensor, n_neighbors: int) -> tuple[torch.Tensor, torch.Tensor]:
        distances = self.euclidean_dist(embedding, self.memory_bank)
        found = distances.min(1) if n_neighbors == 1 else distances.topk(k=n_neighbors, largest=False, dim=1)
        return found[0], found[1]

    def _search(self) -> NearestNeighbors | None:
        """The search of the present bank, built at its first use; None for a bank that torch must search."""
        bank = self.memory_bank
        version = 0 if bank.is_inference() else bank._version
        if self._searched is None or self._searched[0] is not bank or self._searched[1] != version:
            search = NearestNeighbors(bank.detach()) if is_searchable(bank) else None
            self._searched = (bank, version, search)
        return self._searched[2]


def is_plain(maps: torch.Tensor) -> bool:
    """Whether maps are float32 on the CPU without gradients, and no model is being exported."""
    plain = maps.device.type == "cpu" and maps.dtype == torch.float32 and not maps.requires_grad
    return plain and not torch.compiler.is_compiling() and not torch.jit.is_tracing()
