"""What the tests of the line share: a tiny PaDiM, its checkpoint and its export."""

import contextlib
import functools
import hashlib
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from lightning import seed_everything

import extensions
from extensions.data.reading.image_files import read_image
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.metadata import ModelInfo
from inference.model.predictors import Predictor


@pytest.fixture(scope="session")
def fit(tiny_folder, tmp_path_factory):
    """Fit a model of ours on the tiny images; its checkpoint."""
    from anomalib.engine import Engine

    def train(name: str, **init_args: object) -> Path:
        seed_everything(0)
        without_backbone = {"image_size": 64, "latent_dim": 8}
        settings = without_backbone if "Autoencoder" in name else {"backbone": "test_resnet", "pre_trained": False}
        settings = {"image_size": 48, "evaluator": False, "visualizer": False, **settings, **init_args}
        model = getattr(extensions, name)(**settings)
        root = tmp_path_factory.mktemp(name)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        engine = Engine(default_root_dir=root, max_epochs=1, **quiet)
        engine.fit(model, datamodule=tiny_folder())
        return Path(engine.best_model_path)

    return train


@pytest.fixture(scope="session", autouse=True)
def onnx_written_once(tmp_path_factory):
    """Tracing takes seconds: what was traced once, the same tensors in the same settings, is copied the next time.

    The list of operations that torch makes anew for every export, a second's work, is made once.
    """
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    from inference.export import network

    folder, write = tmp_path_factory.mktemp("onnx"), network.write_onnx

    def copy_or_write(model, preprocessing, path):
        about = hashlib.sha256(repr((model.model, dict(model.hparams), preprocessing)).encode())
        for name, tensor in model.model.state_dict().items():
            about.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode() + tensor.cpu().numpy().tobytes())
        known = folder / f"{about.hexdigest()}.onnx"
        if not known.exists():
            write(model, preprocessing, path)
            assert not path.with_name(path.name + ".data").exists(), (
                "the tensors of a large network lie in a file apart"
            )
            shutil.copy(path, known)
        shutil.copy(known, path)
        return network.ExportedNetwork(model.cpu().eval(), preprocessing.image_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "write_onnx", copy_or_write)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


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
def images(tiny_root):
    return [read_image(path) for path in sorted((tiny_root / "test").rglob("*.png"))]


class Brightness(Predictor):
    """Scores an image by its mean, from 0 to 255; its map is the red channel."""

    def __init__(self, threshold: float | None = 100.0, upper: float | None = None) -> None:
        ranges = {"score_range": (0.0, 255.0), "map_range": (0.0, 255.0)}
        info = ModelInfo(
            "Brightness", (8, 8), threshold=threshold, upper_threshold=upper, threshold_source="given", **ranges
        )
        super().__init__(info, batch=1)
        self.at_work = 0

    def _scored(self, images):
        for key, image in images:
            self.at_work += 1
            assert self.at_work == 1, "two at once"
            time.sleep(0.01)
            score = float(image.mean())
            self.at_work -= 1
            if image.shape[:2] == (13, 13):
                yield key, RuntimeError("the network could not compute: bad luck")
            elif image.shape[:2] == (14, 14):
                yield key, self._outcome(float("nan"), image[..., 0].astype(np.float32), 1.0)
            else:
                yield key, self._outcome(score, image[..., 0].astype(np.float32), 1.0)


@pytest.fixture(scope="session")
def brightness():
    return Brightness


@pytest.fixture(scope="session")
def served():
    """A context in which a predictor is served; it gives the port."""
    from inference.serve import server as serve

    @contextlib.contextmanager
    def start(predictor, **options):
        with serve.listen("127.0.0.1", 0) as listening:
            running = serve.server(serve.create_app(predictor, **options))
            thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            try:
                yield listening.getsockname()[1]
            finally:
                running.should_exit = True
                thread.join(10)

    return start
