"""Augmentation through the trainer, against images augmented and scored by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anomalib.engine import Engine
from lightning.pytorch.callbacks import Callback

from extensions import Augmentation, Folder, Padim, Stfpm
from extensions.cli import WorkbenchCLI
from extensions.configuration import ConfigError, instantiate_callback
from extensions.transforms import augmentation
from extensions.transforms.drawing import draw_view
from extensions.transforms.merging import merge_maps

SIZE = 32  # px


@pytest.fixture
def data(tiny_root) -> Folder:
    folders = {"normal_dir": "train/good", "normal_test_dir": "test/good", "abnormal_dir": "test/bad"}
    loading = {"mask_dir": "mask/bad", "train_batch_size": 3, "eval_batch_size": 3, "num_workers": 0}
    return Folder(name="tiny", root=tiny_root, **folders, **loading)


def padim(**changes) -> Padim:
    torch.manual_seed(0)
    arguments = {"backbone": "test_resnet", "pre_trained": False, "image_size": SIZE, "n_features": 8}
    return Padim(**(arguments | {"post_processor": False, "evaluator": False, "visualizer": False} | changes))


class Seen(Callback):
    """Keeps training images as they are augmented, by epoch and file."""

    def __init__(self) -> None:
        self.images: dict[tuple[int, str], torch.Tensor] = {}
        self.scores: dict[str, float] = {}
        self.maps: dict[str, torch.Tensor] = {}
        self.masks: dict[str, torch.Tensor] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.images |= {(trainer.current_epoch, path): x for path, x in zip(batch.image_path, batch.image, strict=True)}

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        for i, path in enumerate(outputs.image_path):
            self.scores[path] = float(outputs.pred_score[i])
            self.maps[path] = outputs.anomaly_map[i].clone()
            self.masks[path] = outputs.gt_mask[i].clone()


def engine(folder, *callbacks, **trainer) -> Engine:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Engine(default_root_dir=folder, callbacks=list(callbacks), limit_val_batches=0, **quiet, **trainer)


def observed(model, data, folder, *callbacks, fit=True) -> Seen:
    seen = Seen()
    run = engine(folder, *callbacks, seen)
    if fit:
        run.fit(model, datamodule=data)
        run.trainer.test(model, datamodule=data, verbose=False)
    else:
        run.test(model, datamodule=data, verbose=False)
    return seen


def prepared(data, model, split="test") -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each image and mask by path, resized as for the model and not normalized."""
    resize = model.pre_processor.transform.transforms[0]
    items = [getattr(data, f"{split}_data")[i] for i in range(len(getattr(data, f"{split}_data")))]
    return {item.image_path: tuple(resize(item.image, item.gt_mask)) for item in items}


@torch.no_grad()
def scored(model, image):
    normalize = model.pre_processor.transform
    return model.model.eval()(normalize(image[None]))


def test_training_images_are_drawn_by_seed_epoch_and_name(data, tmp_path, tiny_root):
    model = Stfpm(backbone="test_resnet", pre_trained=False, image_size=SIZE, evaluator=False, visualizer=False)
    seen = Seen()
    engine(tmp_path, Augmentation("rotation", seed=5), seen, max_epochs=2).fit(model, datamodule=data)
    images = prepared(data, model, "train")
    assert len(seen.images) == 2 * len(images) == 16
    for (epoch, path), found in seen.images.items():
        name = path.removeprefix(f"{tiny_root}/")
        expected = draw_view(augmentation("rotation"), images[path][0], None, name=name, seed=(5, 0, epoch)).image
        assert torch.allclose(found, expected, atol=1e-5)


def test_a_memory_bank_holds_each_training_image_once_augmented(data, tmp_path):
    plain, turned = padim(), padim()
    observed(plain, data, tmp_path / "a")
    seen = observed(turned, data, tmp_path / "b", Augmentation("rotation", "both", seed=1))
    assert len(seen.images) == 8
    features = turned.model.eval().feature_extractor(
        turned.pre_processor.transform(torch.stack([*seen.images.values()]))
    )
    embedding = turned.model.generate_embedding(features).flatten(2)
    assert torch.allclose(turned.model.gaussian.mean, embedding.mean(dim=0), atol=1e-4)
    assert not torch.allclose(turned.model.gaussian.mean, plain.model.gaussian.mean, atol=1e-3)


@pytest.mark.parametrize("name", ["rotation", "random_crop", "solarize"])
def test_each_test_image_is_augmented_once_and_its_mask_with_it(name, data, tmp_path, tiny_root):
    model = padim()
    seen = observed(model, data, tmp_path, Augmentation(name, "test", seed=2))
    for path, (image, mask) in prepared(data, model).items():
        drawn = draw_view(augmentation(name), image, mask, name=path.removeprefix(f"{tiny_root}/"), seed=(2, 1, 0))
        output = scored(model, drawn.image)
        assert seen.scores[path] == pytest.approx(float(output.pred_score), rel=1e-4)
        assert torch.allclose(seen.maps[path].flatten(), output.anomaly_map.flatten(), rtol=1e-3, atol=1e-3)
        assert torch.equal(seen.masks[path].bool(), drawn.mask.bool())


@pytest.mark.parametrize(("name", "merge"), [("rotation", "mean"), ("flip", "max"), ("autocontrast", "mean")])
def test_views_of_a_test_image_are_merged_where_they_belong(name, merge, data, tmp_path, tiny_root):
    model = padim()
    seen = observed(model, data, tmp_path, Augmentation(name, "tta", n_views=3, merge=merge, seed=4))
    for path, (plain, mask) in prepared(data, model).items():
        drawn = [
            draw_view(augmentation(name), plain, None, name=path.removeprefix(f"{tiny_root}/"), seed=(4, 1, n))
            for n in (1, 2)
        ]
        outputs = [scored(model, image) for image in (plain, *(view.image for view in drawn))]
        scores = torch.cat([output.pred_score for output in outputs])
        assert seen.scores[path] == pytest.approx(float(scores.max() if merge == "max" else scores.mean()), rel=1e-4)
        maps = merge_maps(
            [output.anomaly_map for output in outputs], [[None], *([view.matrix] for view in drawn)], how=merge
        )
        assert torch.allclose(seen.maps[path].flatten(), maps.flatten(), rtol=1e-3, atol=1e-3)
        assert torch.equal(seen.masks[path].bool(), mask.bool())


def test_flipped_views_of_a_detector_that_does_not_mind_change_nothing(data, tmp_path):
    """Scores are brightness and maps are gray values: a view moved back must lie on the image."""

    class Gray(torch.nn.Module):
        def forward(self, images):
            return SimpleNamespace(
                _asdict=lambda: {"pred_score": images.amax((1, 2, 3)), "anomaly_map": images.mean(1, keepdim=True)}
            )

    plain, merged = padim(), padim()
    plain.model = merged.model = Gray()
    first = observed(plain, data, tmp_path / "a", fit=False)
    second = observed(merged, data, tmp_path / "b", Augmentation("flip", "tta", n_views=6), fit=False)
    for path, expected in first.maps.items():
        assert torch.allclose(second.maps[path], expected, atol=1e-3)
        assert second.scores[path] == pytest.approx(first.scores[path], abs=1e-3)


def test_the_model_is_left_as_it_was_even_after_an_error(data, tmp_path):
    class Stop(Callback):
        def on_test_start(self, trainer, pl_module):
            assert "test_step" in pl_module.__dict__
            raise ZeroDivisionError

    model = padim()
    with pytest.raises(ZeroDivisionError):
        observed(model, data, tmp_path, Augmentation("flip", "tta"), Stop())
    assert not {"test_step", "validation_step", "predict_step"} & model.__dict__.keys()


def test_predictions_are_merged_too(data, tmp_path):
    model = padim()
    seen = observed(model, data, tmp_path, Augmentation("rotation", "tta", n_views=3, seed=0))
    batches = engine(tmp_path, Augmentation("rotation", "tta", n_views=3, seed=0)).predict(model, datamodule=data)
    found = {path: float(s) for batch in batches for path, s in zip(batch.image_path, batch.pred_score, strict=True)}
    np.testing.assert_allclose([found[path] for path in seen.scores], [*seen.scores.values()], rtol=1e-4)


def test_the_run_s_seed_draws_where_none_is_given(data, tmp_path, monkeypatch):
    def scores(run_seed: str, **arguments) -> list[float]:
        monkeypatch.setenv("PL_GLOBAL_SEED", run_seed)
        return [*observed(padim(), data, tmp_path, Augmentation("rotation", "test", **arguments)).scores.values()]

    assert scores("1") == pytest.approx(scores("9", seed=1))
    assert scores("1") != pytest.approx(scores("2"))


def test_the_command_line_and_configurations_know_it():
    spec = {"class_path": "extensions.Augmentation", "init_args": {"name": "flip", "where": "tta", "n_views": 4}}
    assert instantiate_callback(spec).settings.n_views == 4
    arguments = [
        "--model",
        "extensions.Padim",
        "--data",
        "extensions.Elpv",
        "--trainer.callbacks",
        "extensions.Augmentation",
    ]
    parsed = WorkbenchCLI(["train", *arguments, "--trainer.callbacks.name", "flip"], build=False).config.train
    assert parsed.trainer.callbacks[0].init_args.name == "flip"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "flips"}, r"name: there is no 'flips'; did you mean flip\? \(known: autocontrast, flip"),
        ({"name": "flip", "where": "after"}, r"where: there is no 'after'.*\(known: both, test, train, tta\)"),
        ({"name": "flip", "where": "tta", "merge": "median"}, r"merge: there is no 'median'.*\(known: max, mean\)"),
        ({"name": "flip", "where": "tta", "n_views": 1}, "n_views: found 1, expected a whole number from 2"),
        ({"name": "flip", "where": "tta", "n_views": 2.5}, r"n_views: found 2\.5, expected a whole number from 2"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_the_right_ones(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Augmentation(**arguments)
