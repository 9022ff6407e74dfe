"""What methods share that learn from two random views of an image, with or without SPot-the-Difference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2

from extensions.backbones import check_layers
from extensions.configuration.checked_values import check_values
from extensions.models.contrastive_stfpm.views import MILD, check_view_settings
from extensions.self_supervised.images.smooth_blend import smooth_blend, weak_change
from extensions.self_supervised.images.view_dataset import ViewMaker, Views
from extensions.self_supervised.methods.method import Method


class TwoViewsMethod(Method):
    """Learns that two views of an image are of one; subclasses say by which loss.

    With `spd_weight` it also learns to spot small differences (SPD): Zou, Jeong, Pemula, Zhang, Dabeer,
    "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation", 2022,
    https://arxiv.org/abs/2207.14315. To the loss comes `spd_weight * (cos(f(x), f(x-)) - cos(f(x), f(x+)))`, f being
    the encoder, x- the image with a soft patch on it (`smooth_blend`), x+ the weakly changed image (`weak_change`). The
    paper's code was not published. Ours: x is the first of the two views, whose features are known already, and f may
    be a feature map where the patch lies, for in features averaged over an image a small patch hardly shows.

    Args:
        backbone: timm architecture or `arch.tag`.
        views: Settings of lightly's `SimCLRViewTransform` that differ from `min_scale: 0.2, cj_strength: 0.5` and from
            its own defaults; `hf_prob: 0` leaves out the flip where a product is always the same way round.
        spd_weight: Of SPD; 0 leaves it out.
        spd_share: Share of a batch's images whose SPD is computed; each costs two images more than the two views.
        spd_layer: Feature map whose positions under the patch are compared; None compares the averaged features.
        kwargs: See `Method`.

    Raises:
        ValueError: Unknown backbone, layer or setting of the views, or a number out of range.
        WeightsError: Weights that do not fit.
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        views: dict[str, Any] | None = None,
        spd_weight: float = 0.0,
        spd_share: float = 1.0,
        spd_layer: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        check_values(
            spd_weight=(spd_weight, 0 <= spd_weight < float("inf"), "0 or more"),
            spd_share=(spd_share, 0 < spd_share <= 1, "a share above 0, up to 1"),
        )
        check_view_settings(views or {})
        self.view_settings = MILD | (views or {})
        self.spd_weight, self.spd_share = spd_weight, spd_share
        self.spd_layer = None if spd_layer is None else check_layers(backbone, [spd_layer])[0]

    def view_maker(self, image_size: int) -> ViewMaker:
        """Two random views of an image: crop, flip, color distortion, grayscale, blur; with SPD two more."""
        return TwoViews(image_size, self.view_settings, self.normalization, spots=self.spd_weight > 0)

    def encode(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of both views (2 N, K), one after the other, and the weighted SPD of the batch, a scalar.

        Logs the two similarities of SPD.
        """
        views = torch.cat([batch["first"], batch["second"]])
        if not self.spd_weight:
            return self.encoder(views), views.new_zeros(())
        n = max(1, round(self.spd_share * len(batch["first"])))  # the order of an epoch's images is random
        features, maps = self._features(torch.cat([views, batch["blended"][:n], batch["weak"][:n]]))
        weights = None if self.spd_layer is None else batch["patch"][:n]
        spot = spot_difference(maps[:n], maps[-2 * n : -n], maps[-n:], weights)  # (2,)
        for name, value in zip(("cosine_blended", "cosine_weak"), spot, strict=True):
            self.log(name, value, on_step=False, on_epoch=True, batch_size=n, sync_dist=self.trainer.world_size > 1)
        return features[: len(views)], self.spd_weight * (spot[0] - spot[1])

    def _features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Averaged features (M, K), and what SPD compares: the same, or the maps (M, C, h, w) of `spd_layer`."""
        if self.spd_layer is None:
            features = self.encoder(images)
            return features, features
        maps: list[torch.Tensor] = []
        hook = self.encoder.get_submodule(self.spd_layer).register_forward_hook(lambda *found: maps.append(found[-1]))
        try:
            return self.encoder(images), maps[0]
        finally:
            hook.remove()


def spot_difference(
    images: torch.Tensor, blended: torch.Tensor, weak: torch.Tensor, patches: torch.Tensor | None = None
) -> torch.Tensor:
    """How alike features of images are to those of the same images changed locally and globally.

    Args:
        images: (N, K), or maps (N, K, h, w).
        blended: As `images`, of the locally changed images.
        weak: As `images`, of the globally changed images.
        patches: (N, H, W), the weight of each pixel's local change: positions of maps count by it; None for (N, K).

    Returns:
        (2,): mean cosine similarity to `blended`, which SPD lowers, and to `weak`, which it raises.
    """
    with torch.autocast(images.device.type, enabled=False):  # half precision is too coarse for similarities
        alike = torch.stack([F.cosine_similarity(images.float(), other.float()) for other in (blended, weak)])
        if patches is None:
            return alike.mean(dim=1)
        weights = F.adaptive_avg_pool2d(patches.float(), alike.shape[-2:])  # (N, h, w)
        weights = weights / weights.sum(dim=(1, 2), keepdim=True)
        return (alike * weights).sum(dim=(2, 3)).mean(dim=1)


class TwoViews:
    """Two random views of an image (H, W, 3) uint8; with `spots` the first one changed locally and globally, too.

    Each is (3, size, size), normalized; `patch` is (size, size), the weight of the local change, 0 to 1.
    """

    def __init__(
        self, image_size: int, settings: dict[str, Any], normalize: dict[str, list[float]], *, spots: bool = False
    ) -> None:
        from lightly.transforms import SimCLRViewTransform

        self._augment = SimCLRViewTransform(input_size=image_size, normalize=None, **settings)
        self._normalize = v2.Normalize(**normalize)
        self._spots = spots

    def __call__(self, pixels: np.ndarray, label: int, other: Callable[[], np.ndarray]) -> Views:
        """The views; neither class nor other images play a part."""
        image = Image.fromarray(pixels)
        views = {"first": self._augment(image), "second": self._augment(image)}
        if self._spots:
            rng = np.random.default_rng(int(torch.randint(2**31, ())))
            views["blended"], patch = smooth_blend(views["first"], rng)
            views["weak"] = weak_change(views["first"], rng)
        normalized = {name: self._normalize(view) for name, view in views.items()}
        return normalized | {"patch": patch} if self._spots else normalized
