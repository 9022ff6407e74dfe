"""A tiny data set that a search looks at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_image

Spec = dict[str, Any]


@pytest.fixture(scope="session")
def product_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/good (16), test/good (4), test/bad (8) with masks, limits/good (3), limits/dent (2): two images a part."""
    root, rng = tmp_path_factory.mktemp("product"), np.random.default_rng(0)
    for folder, count in (
        ("train/good", 16),
        ("test/good", 4),
        ("test/bad", 8),
        ("limits/good", 3),
        ("limits/dent", 2),
    ):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            is_bad = folder.endswith(("bad", "dent"))
            image, mask = draw_image(rng, defect=is_bad)
            name = f"part{folder.replace('/', '')}{index // 2}_{index % 2}.png"
            Image.fromarray(image).save(root / folder / name)
            if folder == "test/bad":
                (root / "mask/bad").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(root / "mask/bad" / name)
    return root


@pytest.fixture
def product(product_root: Path) -> Callable[..., Spec]:
    """Its entry in a configuration."""

    def spec(**arguments: Any) -> Spec:
        folders = {
            "name": "product", "root": str(product_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0,
        }  # fmt: skip
        return {"class_path": "extensions.Folder", "init_args": folders | arguments}

    return spec


@pytest.fixture
def detector() -> Spec:
    """A small PaDiM on random features."""
    arguments = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 10}
    return {"class_path": "extensions.Padim", "init_args": arguments}
