"""What the model tests share: a quiet Engine and the scores of the tiny test set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from anomalib.data import InferenceBatch
from anomalib.engine import Engine
from anomalib.models import AnomalibModule
from PIL import Image

# No post-processing, metrics or pictures: what is compared are raw scores.
BARE = {"post_processor": False, "evaluator": False, "visualizer": False}


def quiet_engine(folder: Path, **trainer: object) -> Engine:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Engine(default_root_dir=folder, **(quiet | {"max_epochs": 1, "limit_val_batches": 1} | trainer))


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Engine]:
    """Build an Engine that writes under `tmp_path`; one for each fit."""
    return lambda **trainer: quiet_engine(tmp_path, **trainer)


@pytest.fixture(scope="session")
def pictures(tiny_root: Path) -> torch.Tensor:
    """The test pictures, bad ones first, as the datamodule lists them: (8, 3, 64, 64) in 0 to 1."""
    arrays = [np.asarray(Image.open(path)) for path in sorted((tiny_root / "test").rglob("*.png"))]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255


@torch.no_grad()
def raw_scores(model: AnomalibModule, pictures: torch.Tensor) -> InferenceBatch:
    """Pre-process as the Engine does and score, without anything that happens afterwards."""
    transform = model.pre_processor.transform
    return model.model.eval()(transform(pictures))
