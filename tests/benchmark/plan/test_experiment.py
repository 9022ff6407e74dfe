from __future__ import annotations

import dataclasses

import pytest

from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from extensions.configuration import ConfigError

PADIM = {"class_path": "anomalib.models.Padim", "init_args": {"backbone": "resnet18"}}
DATA = {"class_path": "anomalib.data.MVTecAD", "init_args": {"root": "mvtec", "category": "bottle"}}
BASE = Experiment(model=PADIM, data=DATA, trainer={"max_epochs": 3}, seed=0)


def changed(**parts) -> Experiment:
    return dataclasses.replace(BASE, **parts)


def with_data(**arguments) -> dict:
    return {**DATA, "init_args": {**DATA["init_args"], **arguments}}


@pytest.mark.parametrize(
    "other",
    [
        changed(trainer={"max_epochs": 3, "accelerator": "cpu", "devices": 2, "default_root_dir": "/a/b"}),
        changed(data=with_data(num_workers=7)),
        changed(model={**PADIM, "init_args": {"backbone": "resnet18", "pre_trained": True}}),
        changed(model={**PADIM, "init_args": {"backbone": "resnet18", "max_memory_bytes": 2**30}}),
    ],
    ids=["device", "workers", "an argument at its default", "a limit of memory"],
)
def test_what_cannot_change_a_result_does_not_change_the_identity(other):
    assert other.experiment_id == BASE.experiment_id


@pytest.mark.parametrize(
    "other",
    [
        changed(seed=1),
        changed(trainer={"max_epochs": 4}),
        changed(data=with_data(category="cable")),
        changed(model={**PADIM, "init_args": {"backbone": "resnet18", "n_features": 50}}),
    ],
    ids=["seed", "epochs", "category", "setting"],
)
def test_what_changes_a_result_changes_the_identity(other):
    assert other.experiment_id != BASE.experiment_id


@pytest.mark.parametrize("name", ["Folder", "MVTecAD", "Elpv", "ElpvSynthetic", "ContaminatedMVTecAD"])
def test_a_default_that_a_datamodule_inherits_changes_nothing_and_another_value_does(name):
    ids = [
        changed(data={"class_path": f"extensions.{name}", "init_args": arguments}).experiment_id
        for arguments in ({}, {"k_shot": None, "val_split_ratio": 0.5}, {"k_shot": 2}, {"k_shot": 4})
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_an_absolute_data_root_counts_by_its_last_folder_only():
    here, there = (changed(data=with_data(root=root)) for root in ("/mnt/a/mvtec", "/srv/b/mvtec"))
    assert here.experiment_id == there.experiment_id


def test_the_key_follows_the_content_of_weights_and_data():
    keys = {BASE.key(weights_sha256=w, data_sha256=d) for w in ("a", "b") for d in ("c", "d")}
    assert len(keys) == 4


def key(experiment: Experiment, *, data: str | None = "d") -> str:
    return experiment.key(weights_sha256="w", data_sha256=data)


def test_the_key_follows_how_data_are_used_but_not_where_they_lie():
    assert key(changed(data=with_data(train_batch_size=4))) != key(BASE)
    assert key(changed(data=with_data(root="elsewhere/mvtec"))) == key(BASE)


def test_data_sets_that_are_not_there_have_different_keys():
    assert key(changed(data=with_data(category="cable")), data=None) != key(BASE, data=None)


def test_the_backbone_a_model_takes_by_default_is_named():
    assert Experiment(model={"class_path": "extensions.Padim"}, data=DATA).backbone == "resnet18"
    assert Experiment(model={"class_path": "anomalib.models.EfficientAd"}, data=DATA).backbone == ""


def test_settings_tell_other_weights_and_random_ones_apart():
    def settings(**arguments) -> str:
        return Experiment(model={"class_path": "extensions.Padim", "init_args": arguments}, data=DATA).settings

    assert settings(n_features=5, pre_trained=False) == "n_features=5, pre_trained=False"
    assert settings(weights="/mnt/a/mine.pth") == "weights=mine.pth"
    assert settings(weights=None, pre_trained=True, center_crop=None) == ""
    assert settings(pre_processor=True, post_processor=True, evaluator=True, visualizer=True) == ""  # anomalib's own


def test_settings_tell_a_component_as_its_call():
    processor = {"class_path": "extensions.ImagePreProcessor", "init_args": {"image_size": 320, "backbone": "resnet18"}}
    one = Experiment(
        model={"class_path": "anomalib.models.Dfm", "init_args": {"layer": "layer2", "pre_processor": processor}},
        data=DATA,
    )
    assert one.settings == "layer=layer2, pre_processor=ImagePreProcessor(backbone=resnet18, image_size=320)"


def test_settings_tell_what_a_crop_was_cropped_from():
    def settings(**arguments) -> str:
        return Experiment(model={"class_path": "extensions.Padim", "init_args": arguments}, data=DATA).settings

    assert settings(image_size=320, center_crop=224) == "image_size=320, center_crop=224"
    assert settings(image_size=224) == ""


def test_a_limit_of_memory_is_no_setting():
    model = {"class_path": "extensions.Patchcore", "init_args": {"num_neighbors": 3, "max_memory_bytes": 2**30}}
    assert Experiment(model=model, data=DATA).settings == "num_neighbors=3"


def test_what_stands_in_a_grid_twice_is_run_once():
    config = {"models": [PADIM, PADIM], "data": [DATA], "seeds": [0, 0]}
    assert len(expand(config)) == 1


def test_experiments_whose_records_could_not_be_told_apart_are_refused():
    two = [{"class_path": "extensions.Padim", "init_args": {"weights": f"{run}/best.pth"}} for run in ("a", "b")]
    with pytest.raises(ConfigError, match=r"a/best\.pth and b/best\.pth"):
        expand({"models": two, "data": [DATA]})


def test_a_grid_is_the_product_of_its_axes_and_data_vary_slowest():
    config = {
        "models": [
            {"class_path": "anomalib.models.Padim", "init_args": {"n_features": {"grid": [50, 100]}}},
            {"class_path": "anomalib.models.EfficientAd"},
        ],
        "backbones": ["resnet18", {"backbone": "resnet50", "layers": ["layer2"]}],
        "data": [{"class_path": DATA["class_path"], "init_args": {"category": {"grid": ["bottle", "cable"]}}}],
        "seeds": [0, 1],
    }
    experiments = expand(config)
    assert len(experiments) == (2 * 2 + 1) * 2 * 2  # EfficientAd takes no backbone
    assert [e.data["init_args"]["category"] for e in experiments] == ["bottle"] * 10 + ["cable"] * 10
    assert {e.backbone for e in experiments} == {"", "resnet18", "resnet50"}
    assert len({e.experiment_id for e in experiments}) == len(experiments)


def test_a_model_may_come_from_a_configuration_of_the_command_line(tmp_path):
    (tmp_path / "padim.yaml").write_text(
        "model: {class_path: anomalib.models.Padim, init_args: {backbone: resnet18, n_features: 7}}\n"
        "trainer: {max_epochs: 2}\n"
    )
    config = {"models": [{"config": "padim.yaml", "init_args": {"n_features": 9}}], "data": [DATA]}
    (experiment,) = expand(config, folder=tmp_path)
    assert experiment.model["init_args"] == {"backbone": "resnet18", "n_features": 9}
    assert experiment.trainer == {"max_epochs": 2}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"models": [PADIM], "data": [DATA], "seed": [1]}, "did you mean seeds"),
        ({"models": [], "data": [DATA]}, "'models'"),
        ({"models": [{"init_args": {}}], "data": [DATA]}, "class_path"),
        ({"models": [PADIM], "data": [DATA], "keep": "some"}, "best, all, none"),
        ({"models": [PADIM], "data": [DATA], "images": "many"}, "images: found 'many'"),
        ({"models": [PADIM], "data": [DATA], "seeds": 3}, "list of whole numbers"),
        ({"models": [PADIM], "data": [DATA], "seeds": [0.5]}, "list of whole numbers"),
        ({"models": [PADIM], "data": [DATA], "name": "../up"}, "without '/'"),
        ({"models": [PADIM], "data": [DATA], "backbones": "resnet18"}, "expected a list"),
        ({"models": [PADIM], "data": [DATA], "trainer": {"max_epoch": 1}}, "did you mean max_epochs"),
        ({"models": [PADIM], "data": [DATA], "trainer": [1]}, "trainer: found"),
        ({"models": [{"class_path": "extensions.Padmi"}], "data": [DATA]}, "did you mean extensions.Padim"),
        ({"models": [{**PADIM, "init_args": {"grid": [1]}}], "data": [DATA]}, "init_args"),
        ({"models": [{**PADIM, "init_args": {"n_features": {"grid": 5}}}], "data": [DATA]}, "expected a list"),
        ({"models": [{**PADIM, "init_args": {"n_features": "x"}}], "data": [DATA]}, "found x"),
        (
            {"models": [{"class_path": "extensions.Padim", "init_args": {"backbone": "resnet81"}}], "data": [DATA]},
            "resnet18",
        ),
        ({"models": [PADIM], "data": [PADIM]}, "data: "),
    ],
)
def test_a_wrong_grid_is_refused_with_what_was_expected(config, said):
    with pytest.raises(ConfigError, match=said):
        expand(config)


def test_data_may_come_from_a_configuration_of_the_command_line(tmp_path):
    (tmp_path / "data.yaml").write_text("data: {class_path: anomalib.data.MVTecAD, init_args: {category: bottle}}\n")
    (experiment,) = expand({"models": [PADIM], "data": [{"config": "data.yaml"}]}, folder=tmp_path)
    assert experiment.data == {"class_path": "anomalib.data.MVTecAD", "init_args": {"category": "bottle"}}
