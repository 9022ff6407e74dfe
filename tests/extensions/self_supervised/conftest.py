from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions.self_supervised.fit.pretraining import Pretraining, read_pretraining


@pytest.fixture(scope="session")
def parts(tmp_path_factory) -> Path:
    """Twelve images in two subfolders: stripes and spots, of several sizes."""
    folder = tmp_path_factory.mktemp("data") / "parts"
    rng = np.random.default_rng(0)
    for kind in ("spots", "stripes"):
        (folder / kind).mkdir(parents=True)
        for index in range(6):
            image = rng.integers(0, 60, (40 + 8 * index, 56, 3), dtype=np.uint8)
            if kind == "stripes":
                image[:, ::4] += 120
            else:
                image[10:20, 10:20] += 150
            Image.fromarray(image).save(folder / kind / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def asked(parts):
    """A pretraining of two epochs of three steps; keyword arguments change its configuration."""

    def build(method: str = "SimCLR", **changes: object) -> Pretraining:
        model = {"backbone": "resnet18", "warmup_epochs": 0} | changes.pop("model", {})
        data = {"folders": [str(parts)], "image_size": 32, "batch_size": 4, "num_workers": 0} | changes.pop("data", {})
        trainer = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False} | changes.pop("trainer", {})
        config = {
            "model": {"class_path": f"extensions.self_supervised.{method}", "init_args": model},
            "data": {"class_path": "extensions.self_supervised.ImageFolders", "init_args": data},
            "trainer": trainer,
            "seed": 0,
            **changes,
        }
        return read_pretraining(config, Path("parts.yaml"))

    return build
