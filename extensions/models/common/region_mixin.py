"""Models that look at nothing outside of their data set's region of interest."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torchvision.transforms.v2 import Compose, Normalize, Transform
from torchvision.tv_tensors import Mask

from extensions.data.cutting import fill_in_unit
from extensions.data.imaging import Imaging
from extensions.data.regions.region import Region
from extensions.models.common.imaging_mixin import ImagingMixin
from extensions.models.common.inside import InsideOfImages
from extensions.models.common.region_fill import FillOutside, transform_steps


class RegionMixin(ImagingMixin):
    """Mix-in for anomalib models: pixels outside are filled, and positions outside neither learned from nor scored.

    The network, `model.model`, is given `inside`, by which it learns from and scores positions inside alone.

    Attributes:
        regions: Which a model can heed: `any`, those that are `fixed` for all images, or `none`.
    """

    regions: ClassVar[Literal["any", "fixed", "none"]] = "any"
    model: Any
    pre_processor: Any
    _is_loading: bool = False

    def set_imaging(self, imaging: Imaging) -> None:
        """Heed its region.

        Raises:
            ValueError: The model cannot, or nothing is left of the region at the size that it sees.
        """
        super().set_imaging(imaging)
        self._leave_region()
        if not self._is_loading:
            self._heed_region()

    def _heed_region(self) -> None:
        region = self.imaging.region
        if region is None:
            return
        self._check_region(region)
        if self.imaging.tiling is not None:  # tiles come filled, by `extensions.data.cutting`
            self.model.inside = InsideOfImages(None, outside=self._seen_fill())
            return
        fill = fill_of(region, self.pre_processor.transform, name=type(self).__name__)
        self.pre_processor.transform = with_fill(self.pre_processor.transform, fill)
        self.model.inside = InsideOfImages(None if region.foreground else fill.mask)

    def _seen_fill(self) -> torch.Tensor:
        """The color of what lies outside of a tile, as the network sees it, (1, C, 1, 1)."""
        color = torch.from_numpy(fill_in_unit(self.imaging))[None, :, None, None]
        steps = [step for step in transform_steps(self.pre_processor.transform) if isinstance(step, Normalize)]
        seen: torch.Tensor = Compose(steps)(color) if steps else color
        return seen

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the pre-processor without its last step, which `imaging` tells."""
        found = getattr(self.pre_processor, "transform", None)
        if self.imaging.region is not None:
            self.pre_processor.transform = without_fill(found)
        try:
            super().on_save_checkpoint(checkpoint)
        finally:
            if self.imaging.region is not None:
                self.pre_processor.transform = found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the region of the checkpoint."""
        self._leave_region()
        self._is_loading = True  # the pre-processor is compared with the checkpoint's, and replaced by it
        try:
            super().on_load_checkpoint(checkpoint)
        finally:
            self._is_loading = False
        self._heed_region()

    def _leave_region(self) -> None:
        if getattr(self.model, "inside", None) is not None:
            self.model.inside = None
            self.pre_processor.transform = without_fill(self.pre_processor.transform)

    def _check_region(self, region: Region) -> None:
        name = type(self).__name__
        if self.regions == "none" or getattr(self, "support_views", False):
            why = "turns its training images" if self.regions != "none" else "learns from whole images"
            msg = (
                f"{name} {why} and cannot leave out a region: take roi, ignore and border out of the data set, "
                "switch support_views off where it is on, or choose another model"
            )
            raise ValueError(msg)
        if getattr(self.pre_processor, "transform", None) is None:
            msg = f"{name} has no pre_processor, which a region of interest needs: leave pre_processor as it is"
            raise ValueError(msg)
        is_normalized = any(isinstance(step, Normalize) for step in transform_steps(self.pre_processor.transform))
        if region.foreground and (self.regions == "fixed" or not is_normalized):
            msg = (
                f"{name} heeds no region that differs by image, but roi is foreground: give a mask image or polygons, "
                "or choose another model"
            )
            raise ValueError(msg)


def seen_mask(region: Region, transform: Transform, *, name: str) -> torch.Tensor:
    """A region's mask at the size that a network sees, (1, 1, H, W) float.

    Raises:
        ValueError: Nothing is left of it.
    """
    assert region.mask is not None
    steps = [step for step in transform_steps(transform) if not isinstance(step, Normalize)]
    seen = Compose(steps)(Mask(torch.from_numpy(region.mask.astype("uint8"))[None]))  # (1, H, W)
    if not seen.any():
        height, width = seen.shape[-2:]
        msg = (
            f"nothing of the region of interest is left at the {width} x {height} px that {name} sees: enlarge the "
            "region or image_size"
        )
        raise ValueError(msg)
    return torch.as_tensor(seen)[None].float()


def fill_of(region: Region, transform: Transform, *, name: str) -> FillOutside:
    """What leaves nothing outside of a region, after a pre-processor's transform.

    Raises:
        ValueError: Nothing is left of the region at the size that a network, called `name`, sees.
    """
    mask = None if region.mask is None else seen_mask(region, transform, name=name)
    return FillOutside(mask, foreground=region.foreground, border=region.border)


def with_fill(transform: Transform, fill: FillOutside) -> Compose:
    """A pre-processor's transform with a last step."""
    return Compose([*transform_steps(transform), fill])


def without_fill(transform: Transform) -> Transform:
    """A pre-processor's transform as it was before a region was set."""
    steps = transform_steps(transform)
    if not any(isinstance(step, FillOutside) for step in steps):
        return transform
    return Compose([step for step in steps if not isinstance(step, FillOutside)])


def needs_pixels(model: Any) -> bool:
    """Whether a model reads images themselves, even if all features of its backbone are known."""
    inside = getattr(getattr(model, "model", None), "inside", None)
    return bool(getattr(model, "uses_pixels", True)) or (inside is not None and inside.mask is None)


def inside_of(model: Any, images: torch.Tensor) -> torch.Tensor | None:
    """Which pixels of prepared images (N, C, H, W), of tiled ones as they are read, a model looks at.

    Returns:
        (1 or N, 1, H, W) bool; None for all.
    """
    inside = getattr(getattr(model, "model", None), "inside", None)
    if inside is None:
        return None
    if model.imaging.tiling is None:
        return inside(images).pixels > 0
    mask = torch.from_numpy(model.imaging.region.mask)[None, None]
    if mask.shape[-2:] != images.shape[-2:]:
        mask = torch.nn.functional.interpolate(mask.float(), size=images.shape[-2:]) > 0
    return mask.to(images.device)
