"""PatchCore's memory bank: selected exactly and fast, searched in chunks or, for export, at once."""

from collections.abc import Sequence

import torch
from anomalib.models.image.patchcore.torch_model import PatchcoreModel as AnomalibPatchcoreModel

from extensions.models.patchcore.coreset import select_coreset


class PatchcoreModel(AnomalibPatchcoreModel):
    """Anomalib's PatchCore network with another coreset selection that gives the same bank.

    Shapes: images (N, 3, H, W) -> pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous;
    memory_bank (n_patches, n_channels).

    Args:
        layers: As in anomalib.
        backbone: As in anomalib.
        pre_trained: As in anomalib.
        num_neighbors: As in anomalib.
        neighborhood: Side of the square of feature map positions that is averaged into a patch, odd.
        coreset: How the bank's patches are selected, see `select_coreset`.
    """

    def __init__(
        self,
        layers: Sequence[str],
        *,
        backbone: str,
        pre_trained: bool,
        num_neighbors: int,
        neighborhood: int,
        coreset: str = "greedy",
    ) -> None:
        super().__init__(layers=layers, backbone=backbone, pre_trained=pre_trained, num_neighbors=num_neighbors)
        self.coreset = coreset
        self.feature_pooler = torch.nn.AvgPool2d(neighborhood, stride=1, padding=neighborhood // 2)

    def subsample_embedding(self, sampling_ratio: float) -> None:
        """Replace the memory bank by a coreset of what training collected, and forget the rest.

        Args:
            sampling_ratio: Share of patches that is kept.

        Raises:
            ValueError: Nothing was collected, or the bank would hold fewer patches than neighbors are asked for.
        """
        if not self.embedding_store:
            msg = (
                "PatchCore has seen no training pictures, so there is nothing to build its memory bank from: fit first."
            )
            raise ValueError(msg)
        n_patches = sum(len(embedding) for embedding in self.embedding_store)
        n_kept = int(n_patches * sampling_ratio)
        if n_kept < self.num_neighbors:
            msg = (
                f"A coreset_sampling_ratio of {sampling_ratio} keeps {n_kept} of {n_patches} patches, fewer than "
                f"num_neighbors={self.num_neighbors}: raise the ratio, lower num_neighbors or add training pictures."
            )
            raise ValueError(msg)
        embedding = torch.vstack(self.embedding_store)
        self.embedding_store.clear()
        self.memory_bank = embedding[select_coreset(embedding, sampling_ratio=sampling_ratio, method=self.coreset)]

    def nearest_neighbors(self, embedding: torch.Tensor, n_neighbors: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest patches of the memory bank.

        Args:
            embedding: (n, n_channels).
            n_neighbors: How many.

        Returns:
            Distances and indices into the bank, nearest first: (n,) each for one neighbor, else (n, n_neighbors).
        """
        if not torch.compiler.is_compiling():
            return super().nearest_neighbors(embedding, n_neighbors)
        # The number of chunks would be baked into an exported model, and with it the batch size.
        distances = self.euclidean_dist(embedding, self.memory_bank)
        found = distances.min(1) if n_neighbors == 1 else distances.topk(k=n_neighbors, largest=False, dim=1)
        return found[0], found[1]
