"""The images that a test or a prediction leaves, with the image as the model saw it below its map."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import torch
from anomalib.data import ImageBatch, ImageItem
from anomalib.utils.path import generate_output_filename
from anomalib.visualization import ImageVisualizer
from PIL import Image

from extensions.data.imaging import Imaging
from extensions.data.reading.arrays import ARRAY_EXTENSIONS
from extensions.data.reading.pixels import read_shown


class UprightVisualizer(ImageVisualizer):
    """As anomalib's, which reads files anew, but as the model read them.

    Anomalib's own leaves turned images turned, so that their map lies elsewhere, and shows 16 bits as white.
    """

    output_dir: str | Path | None
    imaging: Imaging = Imaging()

    @classmethod
    def like(cls, visualizer: ImageVisualizer) -> UprightVisualizer:
        """One with the settings of anomalib's."""
        upright = cls()
        upright.__dict__.update(visualizer.__dict__)
        return upright

    def visualize(self, predictions: Any) -> Any:
        """As anomalib's `ImageVisualizer.visualize`."""
        if isinstance(predictions, ImageBatch):
            found = [self.visualize(item) for item in predictions]
            return found[0] if len(found) == 1 else found
        return super().visualize(
            _as_read(predictions, self.imaging) if isinstance(predictions, ImageItem) else predictions
        )

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Draw and save, as anomalib's own does."""
        self.imaging = getattr(pl_module, "imaging", Imaging())
        if self.output_dir is None:
            self.output_dir = Path(trainer.default_root_dir) / "images"
        datamodule = getattr(trainer, "datamodule", None)
        for item in batch:
            drawn: Image.Image | None = self.visualize(item)
            if drawn is not None:
                drawn.save(
                    generate_output_filename(
                        input_path=_drawn_name(item.image_path or ""),
                        output_path=self.output_dir,
                        dataset_name=getattr(datamodule, "name", None),
                        category=getattr(datamodule, "category", None),
                    )
                )


def _drawn_name(image_path: str) -> str:
    """The file that is drawn for an image: of its name, in a format that shows images."""
    return image_path + ".png" if image_path.lower().endswith(ARRAY_EXTENSIONS) else image_path


def _as_read(item: ImageItem, imaging: Imaging) -> ImageItem:
    """The item with its file's pixels in place of its path."""
    if item.image_path is None:
        return item
    shown = copy(item)
    shown.image_path = None
    shown.image = torch.from_numpy(read_shown(item.image_path, imaging)).permute(2, 0, 1) / 255  # (3, H, W)
    return shown
