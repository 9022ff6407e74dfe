"""What an ensemble promises beside the contract of all models."""

import json
import shutil

import numpy as np
import pytest
import torch
from anomalib.data import InferenceBatch
from anomalib.metrics import AUROC
from lightning import seed_everything
from torch.utils.data import DataLoader

import extensions
from extensions.configuration import ConfigError
from extensions.data.channels import Channels
from extensions.data.imaging import Imaging
from extensions.data.tiling.settings import Tiling
from extensions.models.common import backbone_mixin
from extensions.models.ensemble.fitting import FitSettings, HeldOutScores, split_off
from extensions.models.ensemble.members import Member
from extensions.models.ensemble.scale import HELD_OUT, Moments, Scale

PATCHCORE = {"coreset_sampling_ratio": 0.1, "num_neighbors": 2}
PADIM = {"n_features": 12}


def entry(name: str, **init_args) -> dict:
    shared = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64}
    return {"class_path": f"extensions.{name}", "init_args": shared | init_args}


PAIR = [entry("Patchcore", **PATCHCORE), entry("Padim", **PADIM)]
SIZES = [entry("Patchcore", **PATCHCORE), entry("Padim", **PADIM, image_size=48)]


def set_up(tiny_folder):
    datamodule = tiny_folder()
    datamodule.setup()
    datamodule._is_setup = True  # anomalib notes it only for its Trainer, and would split again
    return datamodule


def alone(member: dict, engine, datamodule, bare):
    """A member as a run of its own gives it."""
    seed_everything(7)
    model = getattr(extensions, member["class_path"].split(".")[1])(**member["init_args"], **bare)
    engine(limit_val_batches=0).fit(model, datamodule=datamodule)  # a validation would draw random numbers first
    return model


def fitted(members, engine, datamodule, bare, **settings):
    model = extensions.Ensemble(members, seed=7, **settings, **bare)
    trained = engine()
    trained.fit(model, datamodule=datamodule)
    return model, trained.best_model_path


@pytest.fixture(scope="module")
def pair(engine, tiny_folder, bare):
    return fitted(PAIR, engine, tiny_folder(), bare)


@pytest.fixture(scope="module", params=[PAIR, SIZES], ids=["alike", "sizes"])
def with_members(request, engine, tiny_folder, bare):
    """An ensemble, and its members as runs of their own give them; of one size, and of two."""
    model, _ = fitted(request.param, engine, tiny_folder(), bare)
    return model, [alone(member, engine, tiny_folder(), bare) for member in request.param]


@pytest.mark.parametrize("combine", ["mean", "maximum"])
def test_scores_and_maps_are_those_of_the_members_alone_on_their_scales(with_members, images, raw_scores, combine):
    model, members = with_members
    model.model.combine = combine
    found = raw_scores(model, images)
    network = model.model
    scores, maps = [], []
    for place, member in enumerate(members):
        one = raw_scores(member, images)
        scores.append((one.pred_score - network.score_location[place]) / network.score_scale[place])
        map_ = (one.anomaly_map - network.map_location[place]) / network.map_scale[place]
        maps.append(torch.nn.functional.interpolate(map_, size=(64, 64), mode="bilinear"))
    how = torch.mean if combine == "mean" else torch.amax
    torch.testing.assert_close(found.pred_score, how(torch.stack(scores), dim=0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.anomaly_map, how(torch.stack(maps), dim=0), atol=1e-4, rtol=1e-4)


def test_the_scale_is_that_of_training_images_that_the_member_was_not_fitted_on(pair, engine, tiny_folder, bare):
    datamodule = set_up(tiny_folder)
    part = split_off(datamodule, 0.25, seed=7)
    train, held = (set(one.samples["image_path"]) for one in (part.train_data, part.test_data))
    assert len(held) == 2
    assert not train & held
    assert train | held == set(datamodule.train_data.samples["image_path"])

    tested = engine()
    member = alone(PAIR[0], engine, part, bare)
    batches = tested.predict(member, dataloaders=DataLoader(part.test_data, collate_fn=part.test_data.collate_fn))
    scores = np.array([float(batch.pred_score) for batch in batches])
    pixels = np.concatenate([batch.anomaly_map.numpy().ravel() for batch in batches]).astype(float)
    network = pair[0].model
    assert float(network.score_location[0]) == pytest.approx(scores.mean(), rel=1e-5)
    assert float(network.score_scale[0]) == pytest.approx(scores.std(ddof=1), rel=1e-4)
    assert float(network.map_location[0]) == pytest.approx(pixels.mean(), rel=1e-5)
    assert float(network.map_scale[0]) == pytest.approx(pixels.std(ddof=1), rel=1e-4)


@pytest.mark.parametrize("group", [None, r"\d(\d)\.png"])
def test_copies_and_parts_are_held_out_together(tiny_root, tmp_path, group):
    shutil.copytree(tiny_root, tmp_path / "data")
    train = tmp_path / "data/train/good"
    shutil.copy(train / "001.png", train / "010.png")  # of the part of 000, where parts are named
    datamodule = extensions.Folder(
        name="parts", root=tmp_path / "data", normal_dir="train/good", normal_test_dir="test/good",
        abnormal_dir="test/bad", group=group, num_workers=0,
    )  # fmt: skip
    datamodule.setup()
    sides = []
    for seed in range(12):
        held = {
            path.rsplit("/", 1)[1] for path in split_off(datamodule, 0.4, seed=seed).test_data.samples["image_path"]
        }
        sides.append(tuple(f"{name}.png" in held for name in ("001", "010", "000")))
    assert all(original == copy for original, copy, _ in sides)
    assert {original for original, *_ in sides} == {True, False}
    assert all(copy == other for _, copy, other in sides) == (group is not None)


def test_moments_are_numpys():
    rng = np.random.default_rng(0)
    parts = [rng.normal(5e3, 2, size) for size in (1, 700, 3)]
    found = Moments()
    for part in parts:
        found.add(torch.tensor(part))
    whole = np.concatenate(parts)
    assert (found.mean, found.deviation) == (pytest.approx(whole.mean()), pytest.approx(whole.std(ddof=1)))


def test_reloads_without_weights_also_with_sizes_of_their_own(
    engine, tiny_folder, bare, images, raw_scores, monkeypatch
):
    model, path = fitted(SIZES, engine, tiny_folder(), bare)

    def nowhere(*_):
        pytest.fail("weights were looked for")

    monkeypatch.setattr(backbone_mixin.backbones, "load_backbone_weights", nowhere)
    again = extensions.Ensemble.load_from_checkpoint(path, **bare)
    found, expected = raw_scores(again, images), raw_scores(model, images)
    torch.testing.assert_close(found.pred_score, expected.pred_score)
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map)
    assert found.anomaly_map.shape == (8, 1, 64, 64)


def test_checkpoint_of_other_members_is_refused(pair, engine, tiny_folder, bare):
    with pytest.raises(ValueError, match="members="):
        engine().predict(extensions.Ensemble(SIZES, **bare), datamodule=tiny_folder(), ckpt_path=pair[1])


def test_kept_runs_are_used_as_they_were_trained(engine, tiny_folder, bare, images, raw_scores, tmp_path):
    kept = alone(PAIR[0], engine, tiny_folder(), bare)
    folder = tmp_path / "run"
    folder.mkdir()
    trained = engine()
    seed_everything(7)
    trained.fit(kept, datamodule=tiny_folder())
    shutil.copy(trained.best_model_path, folder / "model.ckpt")
    (folder / HELD_OUT).write_text(Scale(2.0, 4.0, 1.0, 3.0, 5).to_json())

    model, path = fitted([str(folder), PAIR[1]], engine, tiny_folder(), bare)
    assert [float(values[0]) for values in (model.model.score_location, model.model.map_scale)] == [2.0, 3.0]
    torch.testing.assert_close(model.members[0].model.memory_bank, kept.model.memory_bank)
    shutil.rmtree(folder)  # the checkpoint stands for itself
    again = extensions.Ensemble.load_from_checkpoint(path, **bare)
    torch.testing.assert_close(raw_scores(again, images).pred_score, raw_scores(model, images).pred_score)


def test_the_scale_of_a_checkpoint_alone_is_measured(pair, engine, tiny_folder, bare, tmp_path):
    trained = engine()
    seed_everything(7)
    model = extensions.Patchcore(**PAIR[0]["init_args"], **bare)
    trained.fit(model, datamodule=tiny_folder())
    path = shutil.copy(trained.best_model_path, tmp_path / "own.ckpt")
    model, _ = fitted([path, PAIR[1]], engine, tiny_folder(), bare)
    torch.testing.assert_close(model.model.score_location, pair[0].model.score_location)
    torch.testing.assert_close(model.model.score_scale, pair[0].model.score_scale)


def test_a_run_on_other_data_is_refused(engine, tiny_folder, bare, tmp_path):
    trained = engine()
    model = extensions.Patchcore(**PAIR[0]["init_args"], **bare)
    trained.fit(model, datamodule=tiny_folder())
    shutil.copy(trained.best_model_path, tmp_path / "model.ckpt")
    (tmp_path / "record.json").write_text(json.dumps({"dataset": {"name": "other", "category": "screw"}}))
    with pytest.raises(ValueError, match="trained on other screw, and the Ensemble is fitted on tiny"):
        fitted([tmp_path, PAIR[1]], engine, tiny_folder(), bare)
    (tmp_path / "record.json").write_text(json.dumps({"dataset": {"name": "tiny", "n_train": 9}}))
    with pytest.raises(ValueError, match="trained on 9 images, and the Ensemble is fitted on 8"):
        fitted([tmp_path, PAIR[1]], engine, tiny_folder(), bare)


def test_members_trained_by_gradient_need_their_epochs(engine, tiny_folder, bare):
    student = entry("Stfpm")
    with pytest.raises(ConfigError, match=r"Stfpm test_resnet is trained by gradient descent.*trainer: {max_epochs"):
        fitted([student, PAIR[1]], engine, tiny_folder(), bare)
    model, _ = fitted([student | {"trainer": {"max_epochs": 1}}, PAIR[1]], engine, tiny_folder(), bare)
    assert model.model.is_fitted


def test_a_member_without_maps_leaves_those_of_the_others(engine, tiny_folder, bare, images, raw_scores, pair):
    model, _ = fitted([entry("BackboneOcSvm"), PAIR[1]], engine, tiny_folder(), bare)
    found = raw_scores(model, images)
    padim = model.members[1].model(model.shaping.own[1](model.pre_processor.transform(images)))
    expected = (padim.anomaly_map - model.model.map_location[1]) / model.model.map_scale[1]
    torch.testing.assert_close(found.anomaly_map, expected)
    assert float(model.model.map_scale[1]) == pytest.approx(float(pair[0].model.map_scale[1]), rel=1e-5)


def test_runs_through_the_engine_with_post_processor_and_metrics(engine, tiny_folder):
    model, trained = extensions.Ensemble(PAIR, seed=7), engine()
    trained.fit(model, datamodule=tiny_folder())
    (found,) = trained.test(model, datamodule=tiny_folder())
    assert found["image_AUROC"] == 1.0
    scored = trained.predict(model, datamodule=tiny_folder())
    metric = AUROC(fields=["pred_score", "gt_label"])
    for batch in scored:
        metric.update(batch)
    assert float(metric.compute()) == 1.0


def test_random_numbers_outside_are_left_as_they_were(engine, tiny_folder, bare):
    seed_everything(1)
    model, trained = extensions.Ensemble(PAIR, seed=7, **bare), engine()
    before = torch.get_rng_state()
    seen = []
    model.on_train_batch_start = lambda *_: seen.append(torch.get_rng_state())
    trained.fit(model, datamodule=tiny_folder())
    plain, again = extensions.Padim(**PAIR[1]["init_args"], **bare), engine()
    torch.set_rng_state(before)
    plain.on_train_batch_start = lambda *_: seen.append(torch.get_rng_state())
    again.fit(plain, datamodule=tiny_folder())
    assert torch.equal(seen[0], seen[1])


def test_images_of_one_channel_reach_all_members():
    model = extensions.Ensemble(SIZES)
    model.set_imaging(Imaging(channels=Channels(1)))
    assert [member.imaging.n_channels for member in model.members] == [1, 1]
    model.model.set_scales([Scale(0, 1, 0, 1, 2)] * 2)
    for member in model.members:
        features = member.model.feature_extractor(torch.rand(1, 1, 64, 64))
        assert all(feature.isfinite().all() for feature in features.values())


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([PAIR[0]], "found 1, expected a list of 2 or more"),
        (PAIR[0], "found 1, expected a list of 2 or more"),
        ([PAIR[0], 3], r"members\[1\]: found 3, expected the folder of a kept run"),
        ([PAIR[0], {"class_path": "extensions.Padim", "init_arg": {}}], "unknown key 'init_arg', expected one of"),
        ([PAIR[0], {"class_path": "extensions.Padin"}], "Padim"),
        ([PAIR[0], {"class_path": "extensions.Ensemble", "init_args": {"members": PAIR}}], "cannot be a member"),
        (
            [PAIR[0], {"class_path": "extensions.Padim", "init_args": [1]}],
            r"init_args: found \[1\], expected a mapping",
        ),
        ([PAIR[0], "nowhere.ckpt"], "nowhere.ckpt: no such file; expected a checkpoint"),
    ],
)
def test_what_is_no_list_of_members_is_told(members, said):
    with pytest.raises(ConfigError, match=said):
        extensions.Ensemble(members)


def test_files_that_are_no_checkpoint_or_scale_are_told(tmp_path, pair):
    with pytest.raises(ConfigError, match=r"there is no file model.ckpt in it; its checkpoint was not kept"):
        extensions.Ensemble([PAIR[0], tmp_path])
    (tmp_path / "model.ckpt").write_text("no")
    with pytest.raises(ConfigError, match="cannot be read as a checkpoint"):
        extensions.Ensemble([PAIR[0], tmp_path])
    with pytest.raises(ConfigError, match="nothing tells which class"):
        torch.save({"hyper_parameters": {}, "state_dict": {}}, tmp_path / "model.ckpt")
        extensions.Ensemble([PAIR[0], tmp_path])
    for text in (
        "no",
        "{}",
        '{"score_location": 0, "score_scale": 0, "map_location": 0, "map_scale": 1, "n_images": 3}',
    ):
        (tmp_path / HELD_OUT).write_text(text)
        with pytest.raises(ValueError, match="this holds no scale of a detector"):
            Scale.read(tmp_path / HELD_OUT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"combine": "median"}, "combine"),
        ({"held_out_ratio": 1.0}, "held_out_ratio"),
        ({"held_out_ratio": 0}, "held_out_ratio"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range_are_told(settings, said):
    with pytest.raises(ValueError, match=said):
        extensions.Ensemble(PAIR, **settings)


def test_members_that_see_other_parts_of_an_image_are_refused():
    with pytest.raises(ValueError, match="must see the same part of an image"):
        extensions.Ensemble([PAIR[0], entry("Padim", **PADIM, center_crop=48)])
    extensions.Ensemble(
        [entry("Patchcore", image_size=80, center_crop=64), entry("Padim", image_size=60, center_crop=48)]
    )


def test_too_few_images_loaders_and_tiles_are_refused(engine, tiny_folder, bare):
    datamodule = set_up(tiny_folder)
    datamodule.train_data.samples = datamodule.train_data.samples[:3].reset_index(drop=True)
    with pytest.raises(ValueError, match="of the 3 of data set 'tiny' are 1: expected 2 or more"):
        fitted(PAIR, engine, datamodule, bare)
    whole = set_up(tiny_folder)
    with pytest.raises(ValueError, match="the Engine was given loaders: give it datamodule"):
        engine().fit(extensions.Ensemble(PAIR, **bare), train_dataloaders=whole.train_dataloader())
    with pytest.raises(ValueError, match="Ensemble looks at whole images, but the data set sets a tiling"):
        extensions.Ensemble(PAIR).set_imaging(Imaging(tiling=Tiling(tile=(64, 64))))


def test_augmentation_of_training_images_is_refused(engine, tiny_folder, bare):
    trained = engine(callbacks=[extensions.Augmentation("flip", "train")])
    with pytest.raises(ValueError, match="augmentation of training images would not reach them"):
        trained.fit(extensions.Ensemble(PAIR, **bare), datamodule=tiny_folder())


def test_an_ensemble_that_was_not_fitted_says_so(images):
    model = extensions.Ensemble(PAIR)
    with pytest.raises(RuntimeError, match="this Ensemble has not been fitted"):
        model.model(images)


def test_images_that_all_score_the_same_have_no_scale():
    seen = HeldOutScores()
    for _ in range(3):
        seen.on_test_batch_end(None, None, InferenceBatch(pred_score=torch.tensor([2.0]), anomaly_map=None))
    with pytest.raises(ValueError, match="on 3 held-out training images have mean 2 and deviation 0"):
        seen.scale(Member("extensions.Padim"), FitSettings(), seconds=0.0)
