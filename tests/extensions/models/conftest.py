"""What the model tests share: a quiet Engine and the raw scores of the tiny test set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.engine import Engine
from PIL import Image


@pytest.fixture(scope="session")
def bare() -> dict[str, bool]:
    """Init args that leave out what follows the scores: post-processing, metrics and images."""
    return {"post_processor": False, "evaluator": False, "visualizer": False}


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """Build an Engine with a folder of its own; one for each fit."""

    def build(**trainer: object) -> Engine:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        brief = {"max_epochs": 1, "limit_val_batches": 1}
        return Engine(default_root_dir=tmp_path_factory.mktemp("engine"), **(quiet | brief | trainer))

    return build


@pytest.fixture(scope="session")
def images(tiny_root: Path) -> torch.Tensor:
    """The test images, bad ones first: (8, 3, 64, 64) in 0 to 1."""
    arrays = [np.asarray(Image.open(path)) for path in sorted((tiny_root / "test").rglob("*.png"))]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="session")
def raw_scores() -> Callable:
    """Pre-process images (N, 3, H, W) as the Engine does and score them, without anything that happens afterwards."""

    @torch.no_grad()
    def score(model, images):
        return model.model.eval()(model.pre_processor.transform(images))

    return score
