"""The networks of several detectors as one network: each sees its own images, all answer on one scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from torch import nn
from torchvision.transforms.v2 import Transform

from extensions.models.ensemble.exported import ExportedEnsemble
from extensions.models.ensemble.scale import Scale, at_size, combined, standardized

NUMBERS = ("score_location", "score_scale", "map_location", "map_scale")


class EnsembleModel(nn.Module):
    """Networks side by side.

    Shapes: images (N, C, H, W) as the ensemble's pre-processor leaves them -> pred_score (N,), in deviations from good
    images, and anomaly_map (N, 1, h, w) at `map_size`, likewise; both higher for more anomalous. The map is that of the
    members which have one, None where none has.

    Args:
        networks: Of the members; each gives an `InferenceBatch`.
        prepare: What is left to do to images before each network sees them; None for nothing.
        map_size: Height and width in px of the maps.
        combine: `mean` or `maximum`.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        prepare: Sequence[Transform | None],
        *,
        map_size: tuple[int, int],
        combine: str,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)
        self.prepare = list(prepare)
        self.map_size = map_size
        self.combine = combine
        for name in NUMBERS:  # NaN until they are known, and for the map of a member without one
            self.register_buffer(name, torch.full((len(self.members),), torch.nan))

    def train(self, mode: bool = True) -> EnsembleModel:
        """Members are fitted on their own and stay as they score."""
        super().train(mode)
        self.members.eval()
        return self

    def set_scales(self, scales: Sequence[Scale]) -> None:
        """Take over the members' scales."""
        for name in NUMBERS:
            values = [getattr(scale, name) for scale in scales]
            told = [torch.nan if value is None else value for value in values]
            getattr(self, name).copy_(torch.tensor(told))

    @property
    def is_fitted(self) -> bool:
        """Whether the scales are known."""
        return bool(self.score_scale.isfinite().all())

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        """Score images.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        if not torch.compiler.is_compiling() and not self.is_fitted:
            msg = "this Ensemble has not been fitted: fit the model first, or load a checkpoint of a finished fit."
            raise RuntimeError(msg)
        seen = [images if step is None else step(images) for step in self.prepare]
        return self.joined([network(one) for network, one in zip(self.members, seen, strict=True)])

    def joined(self, found: Sequence[InferenceBatch]) -> InferenceBatch:
        """What the members say of images, as one answer."""
        scores, maps = [], []
        for place, one in enumerate(found):
            numbers = [getattr(self, name)[place] for name in NUMBERS]
            scores.append(standardized(one.pred_score.flatten().float(), numbers[0], numbers[1]))
            if one.anomaly_map is not None:
                map_ = one.anomaly_map.float()
                map_ = standardized(map_.reshape(-1, 1, *map_.shape[-2:]), numbers[2], numbers[3])
                maps.append(at_size(map_, self.map_size))
        return InferenceBatch(
            pred_score=combined(scores, self.combine), anomaly_map=combined(maps, self.combine) if maps else None
        )

    def exportable_of(self, sizes: Sequence[tuple[int, int]], inputs: Sequence[int]) -> nn.Module:
        """The fitted network as an exported model computes it, see `ExportedEnsemble`."""
        return ExportedEnsemble(list(self.members), self.joined, sizes=sizes, inputs=inputs)
