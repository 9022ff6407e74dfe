from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def tiny_config(tiny_root: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep of PaDiM, without weights, over the tiny images, a run per seed: one or two seconds each."""

    def write(n_runs: int, **changes: object) -> Path:
        model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 10}
        data = {
            "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "num_workers": 0,
        }  # fmt: skip
        config = {
            "name": "tiny",
            "models": [{"class_path": "extensions.Padim", "init_args": model}],
            "data": [{"class_path": "extensions.Folder", "init_args": data}],
            "seeds": list(range(n_runs)),
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(config | changes))
        return path

    return write
