"""Label files made on the spot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Coco = Callable[..., Path]


@pytest.fixture
def config(product: Path) -> Path:
    """Of the data set `product`, which has no masks yet."""
    shutil.rmtree(product / "masks")
    arguments = {"name": "product", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad"}
    path = product.parent / "product.yaml"
    path.write_text(yaml.safe_dump({"data": {"class_path": "extensions.Folder", "init_args": arguments}}))
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Coco:
    """Writes a label file: for each image of 64x64 its annotations, (label, segmentation) each."""

    def write(images: dict[str, list[tuple[str, Any]]], *, name: str = "labels.json", **image: Any) -> Path:
        known = sorted({label for found in images.values() for label, _ in found} | {"dent", "scratch"})
        size = {"width": 64, "height": 64} | image
        entries = [{"id": n, "file_name": file, **size} for n, file in enumerate(images)]
        annotations = [
            {"id": 10 * n, "image_id": n, "category_id": known.index(label), "segmentation": segmentation}
            for n, found in enumerate(images.values())
            for label, segmentation in found
        ]
        categories = [{"id": n, "name": label} for n, label in enumerate(known)]
        path = tmp_path / name
        path.write_text(json.dumps({"images": entries, "annotations": annotations, "categories": categories}))
        return path

    return write


@pytest.fixture
def labelme() -> Callable[..., Path]:
    """Writes the label file of one image."""

    def write(path: Path, *shapes: dict[str, Any], **document: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = {"imagePath": f"{path.stem}.png", "imageWidth": 64, "imageHeight": 64, "imageData": None}
        path.write_text(json.dumps({"version": "5.5.0", "flags": {}, "shapes": list(shapes), **known, **document}))
        return path

    return write
