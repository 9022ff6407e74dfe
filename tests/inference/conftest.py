"""What the tests of the line share: a tiny PaDiM, its checkpoint and its export."""

from pathlib import Path

import pytest
from lightning import seed_everything

import extensions
from extensions.data.reading import read_image
from inference.checkpoints import load_checkpoint
from inference.export import ExportOptions, export_model


@pytest.fixture(scope="session")
def fit(tiny_folder, tmp_path_factory):
    """Fit a model of ours on the tiny pictures; its checkpoint."""
    from anomalib.engine import Engine

    def train(name: str, **init_args: object) -> Path:
        seed_everything(0)
        without_backbone = {"image_size": 64, "latent_dim": 8}
        settings = without_backbone if "Autoencoder" in name else {"backbone": "resnet18", "pre_trained": False}
        settings = {"image_size": 48, "evaluator": False, "visualizer": False, **settings, **init_args}
        model = getattr(extensions, name)(**settings)
        root = tmp_path_factory.mktemp(name)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        engine = Engine(default_root_dir=root, max_epochs=1, **quiet)
        engine.fit(model, datamodule=tiny_folder())
        return Path(engine.best_model_path)

    return train


@pytest.fixture(scope="session")
def checkpoint(fit):
    return fit("Padim", n_features=12, layers=["layer2", "layer3"])


@pytest.fixture(scope="session")
def normal(tiny_root):
    return sorted((tiny_root / "train/good").iterdir())


@pytest.fixture(scope="session")
def exported(checkpoint, normal, tmp_path_factory):
    """Folder of an exported PaDiM; never changed by a test."""
    output = tmp_path_factory.mktemp("exported") / "padim"
    model, info = load_checkpoint(checkpoint)
    export_model(model, info, output, files=normal, options=ExportOptions())
    return output


@pytest.fixture(scope="session")
def pictures(tiny_root):
    return [read_image(path) for path in sorted((tiny_root / "test").rglob("*.png"))]
