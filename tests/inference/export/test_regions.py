"""A region of interest in OpenVINO: scores and maps as trained, and where the network looks."""

from pathlib import Path

import numpy as np
import pytest
from lightning import seed_everything
from PIL import Image

import extensions
from extensions.data.reading.image_files import read_image
from inference.export.write_model import ExportOptions, export_model
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor
from inference.predict.overlays import overlay

MODELS = {
    "Padim": {"n_features": 12},
    "Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 1},
    "ReverseDistillation": {},
    "Cdo": {},
    "Cflow": {"coupling_blocks": 2, "condition_vector": 16},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Bright parts on a dark even ground, at 64 px, and a mask that is smaller than they are."""
    root, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(0)
    for name, n in (("good", 8), ("bad", 2)):
        (root / name).mkdir()
        for index in range(n):
            image = rng.normal(40, 2, (64, 64, 3))
            image[14:50, 10:54] = 150 + 40 * np.sin(np.arange(44) / 3)[None, :, None] + rng.normal(0, 8, (36, 44, 3))
            if name == "bad":
                image[30:38, 30:38] = 250
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name / f"{index}.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 16:47] = 255
    Image.fromarray(mask).save(root / "roi.png")
    return root


@pytest.mark.parametrize(
    ("name", "roi", "pooling"),
    [
        *((name, "roi.png", None) for name in MODELS),
        ("Patchcore", "foreground", None),
        ("Padim", "roi.png", "top_5%"),
        pytest.param("Cdo", "roi.png", "top_5%", marks=pytest.mark.slow),  # likewise pooled: PaDiM and PatchCore
        pytest.param("Patchcore", "foreground", "top_5%", marks=pytest.mark.slow),
        ("Patchcore", "foreground", "top_50"),
    ],
)
def test_an_exported_network_looks_where_the_trained_one_does(name, roi, pooling, root, tmp_path):
    from anomalib.engine import Engine

    seed_everything(0)
    # Scores of Cflow on the tiny network, trained for one epoch, differ by 6e-4: more than is asked here.
    backbone = "resnet18" if name == "Cflow" else "test_resnet"
    settings = {"backbone": backbone, "pre_trained": False, "image_size": 64, "evaluator": False, "visualizer": False}
    model = getattr(extensions, name)(**(settings | MODELS[name]), score_pooling=pooling)
    data = extensions.Folder(
        "parts", "good", root=root, abnormal_dir="bad", roi=roi, num_workers=0, val_split_mode="none"
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    engine = Engine(default_root_dir=tmp_path, max_epochs=1, **quiet)
    engine.fit(model, datamodule=data)
    trained, info = load_checkpoint(Path(engine.best_model_path))
    files = sorted((root / "good").iterdir())
    options = ExportOptions(allow_difference=True)  # PatchCore's map is 0 or 0.001 where the bank holds the very patch
    agreement = export_model(trained, info, tmp_path / "model", files=files, options=options)
    assert agreement.summary.mean_map_difference < 1e-4
    assert agreement.summary.largest_score_difference < 1e-4
    image = read_image(root / "bad/0.png")
    in_torch = load_predictor(Path(engine.best_model_path)).predict([image])[0]  # of an image not trained on
    spoiled = image.copy()
    spoiled[:4] = 42  # a little of the ground, which stays the ground
    for file in ("model.xml", "model.onnx"):
        predictor = load_predictor(tmp_path / "model" / file)
        one, other = predictor.predict([image, spoiled])
        assert one.inside is not None
        difference = np.abs(one.anomaly_map - in_torch.anomaly_map).max()
        assert difference < 1e-4 * np.ptp(in_torch.anomaly_map[one.inside])
        assert abs(one.pred_score - in_torch.pred_score) < 1e-4 * in_torch.pred_score
        assert (one.anomaly_map[~one.inside] == 0).all()
        assert one.anomaly_map[one.inside].max() == one.anomaly_map.max() > 0
        if pooling is not None:  # of what is inside alone
            n = 50 if pooling == "top_50" else int(one.inside.sum() * 5 // 100)
            highest = np.sort(one.anomaly_map[one.inside])[-n:]
            assert one.pred_score == pytest.approx(highest.mean(), rel=1e-5)
        if roi == "roi.png":
            assert np.array_equal(one.inside, read_image(root / "roi.png")[..., 0] > 0)
            assert one.pred_score == other.pred_score
    hatched = overlay(image, one, predictor.info)[: image.shape[0]]
    plain = overlay(
        image, type(one)(*[getattr(one, slot) for slot in one.__dataclass_fields__ if slot != "inside"]), predictor.info
    )
    assert ((hatched != plain[: image.shape[0]]).any(axis=2) <= ~one.inside).all()
