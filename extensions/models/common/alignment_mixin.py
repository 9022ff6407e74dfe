"""Models that are given aligned images, and whose maps are turned back onto the images as they were taken."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torchvision.transforms.v2 import CenterCrop

from extensions.data.datamodules.lies import lie_of_file
from extensions.data.imaging import Imaging
from extensions.data.straightening import turned_back
from extensions.models.common.imaging_mixin import ImagingMixin
from extensions.models.common.region_fill import transform_steps

STEPS = ("validation_step", "test_step", "predict_step")


class AlignmentMixin(ImagingMixin):
    """Mix-in for anomalib models, see `extensions.data.alignment.alignment.Alignment`.

    Where the data set aligns, its images come aligned, and its masks as they were drawn but for those of training.
    Maps of validation, test and prediction are turned back, so that they are compared with the same pixels as without
    alignment.

    Attributes:
        needs_alignment: Whether the model compares each position with the same position of other images, so that it is
            of no use for parts that lie differently.
    """

    needs_alignment: bool = False
    pre_processor: Any

    def set_imaging(self, imaging: Imaging) -> None:
        """Keep it, and refuse what leaves part of an image out of the map that is turned back.

        Raises:
            ValueError: The model keeps the center of images alone.
        """
        if imaging.alignment is not None:
            steps = transform_steps(getattr(self.pre_processor, "transform", None))
            if any(isinstance(step, CenterCrop) for step in steps):
                msg = (
                    f"{type(self).__name__} keeps the center of each image (center_crop), of which no map can be "
                    "turned back onto an image that was aligned: leave center_crop or align out"
                )
                raise ValueError(msg)
        super().set_imaging(imaging)

    def setup(self, stage: str) -> None:
        """Have maps turned back."""
        super().setup(stage)
        self._turn_maps_back()

    def on_validation_start(self) -> None:
        """Likewise; a checkpoint has been loaded by now."""
        super().on_validation_start()
        self._turn_maps_back()

    def on_test_start(self) -> None:
        """Likewise."""
        super().on_test_start()
        self._turn_maps_back()

    def on_predict_start(self) -> None:
        """Likewise."""
        super().on_predict_start()
        self._turn_maps_back()

    def _turn_maps_back(self) -> None:
        for name in STEPS:
            if isinstance(own := self.__dict__.get(name), partial) and own.func is _turned_step:
                del self.__dict__[name]
            if self.imaging.alignment is not None:
                self.__dict__[name] = partial(_turned_step, self, getattr(type(self), name))


def _turned_step(model: Any, step: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
    """A step on aligned images, with maps in the frames of the images as they were taken."""
    found = step(model, batch, *args, **kwargs)
    maps = getattr(found, "anomaly_map", None)
    if maps is None or not torch.is_tensor(maps):
        return found
    lies = [lie_of_file(path, model.imaging) for path in found.image_path]
    flat = maps.detach().float().cpu().numpy().reshape(len(lies), *maps.shape[-2:])
    turned = [turned_back(one, model.imaging, lie) for one, lie in zip(flat, lies, strict=True)]
    found.anomaly_map = torch.stack([torch.from_numpy(one) for one in turned]).reshape(maps.shape).to(maps)
    return found
