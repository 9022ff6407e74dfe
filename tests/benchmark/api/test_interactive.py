"""What notebooks call: objects, names and mappings alike, and the run that comes back."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anomalib import PrecisionType

import benchmark
import extensions
from benchmark.api.figures import choose
from benchmark.api.interactive import experiment_of
from benchmark.api.run_object import RunError
from benchmark.records.run_files import CHECKPOINT
from extensions.configuration import ConfigError

MODEL = {"backbone": "test_resnet", "layers": ["layer1", "layer2"], "pre_trained": False, "image_size": 64}


@pytest.fixture(scope="module")
def folders(tiny_root) -> dict:
    return {
        "name": "tiny", "root": tiny_root, "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "num_workers": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return extensions.Padim(**MODEL, n_features=10, visualizer=False)


@pytest.fixture(scope="module")
def found(model, folders, tmp_path_factory) -> benchmark.Run:
    output = tmp_path_factory.mktemp("runs")
    return benchmark.run(model, extensions.Folder(**folders), seed=3, output=output)


def test_an_object_leaves_the_record_of_the_mapping_that_describes_it(found, folders):
    text = {**folders, "root": str(folders["root"])}
    again = benchmark.run(
        {"class_path": "Padim", "init_args": {**MODEL, "n_features": 10}},
        {"class_path": "extensions.Folder", "init_args": text},
        seed=3,
        output=found.output,
    )
    assert again.key == found.key
    assert again.record == found.record  # not run again
    assert found.record.settings == "n_features=10, pre_trained=False"


def test_a_run_gives_its_metrics_scores_and_files(found):
    assert isinstance(found.metrics, pd.Series)
    assert found.metrics["image_AUROC"] == found.record.metrics["image_AUROC"]
    assert list(found.scores) == ["image", "label", "kind", "score", "fold"]
    assert len(found.scores) == 8
    assert (found.folder / CHECKPOINT).is_file()
    assert found.folder.name == found.key
    shown = found._repr_html_()
    for word in ("Padim on test_resnet", found.key, "image_AUROC", f"{found.metrics['pixel_AUROC']:.4f}", "finished"):
        assert word in shown
    assert len(repr(found)) < 300
    with pytest.raises(AttributeError):
        found.key = "other"


def test_names_and_classes_stand_for_themselves():
    by_name = experiment_of("Patchcore", "extensions.Elpv")
    assert by_name.model == {"class_path": "extensions.Patchcore", "init_args": {}}
    by_class = experiment_of(extensions.Patchcore, extensions.Elpv)
    by_object = experiment_of(extensions.Patchcore(visualizer=False), extensions.Elpv())
    assert by_name.experiment_id == by_class.experiment_id == by_object.experiment_id


def test_arguments_are_described_as_they_were_given():
    given = extensions.Padim("test_resnet", ("layer1",), pre_trained=False, weights=None, n_features=8)
    assert experiment_of(given, "Elpv").model["init_args"] == {
        "backbone": "test_resnet", "layers": ["layer1"], "pre_trained": False, "weights": None, "n_features": 8,
    }  # fmt: skip
    data = experiment_of("Padim", extensions.ContaminatedElpv(n_train=50, contamination_ratio=0.1)).data
    assert data["init_args"] == {"n_train": 50, "contamination_ratio": 0.1}


def test_objects_of_anomalib_are_described_by_what_they_keep(tiny_root):
    import anomalib.data
    import anomalib.models

    model = anomalib.models.Padim(pre_trained=False, n_features=20)
    data = anomalib.data.Folder("tiny", normal_dir="train/good", root=tiny_root, val_split_mode="none")
    found = experiment_of(model, data)
    assert found.model == {
        "class_path": "anomalib.models.Padim",
        "init_args": {"pre_trained": False, "n_features": 20},
    }
    assert found.data["class_path"] == "anomalib.data.Folder"
    assert found.data["init_args"] == {
        "name": "tiny", "normal_dir": "train/good", "root": str(tiny_root), "val_split_mode": "none",
    }  # fmt: skip


def test_layers_given_as_a_tuple_are_those_of_a_list():
    import anomalib.models

    found = experiment_of(anomalib.models.Patchcore(pre_trained=False), "Elpv").model
    assert found == {"class_path": "anomalib.models.Patchcore", "init_args": {"pre_trained": False}}


def test_a_member_of_an_enumeration_is_described_as_its_class_reads_it():
    import anomalib.models
    from anomalib.models.components.classification import FeatureScalingMethod

    found = experiment_of(
        anomalib.models.Dfkde(pre_trained=False, feature_scaling_method=FeatureScalingMethod.NORM), "Elpv"
    )
    assert found.model["init_args"] == {"pre_trained": False, "feature_scaling_method": "NORM"}
    by_value = extensions.Patchcore(pre_trained=False, precision=PrecisionType.FLOAT16)
    assert experiment_of(by_value, "Elpv").model["init_args"]["precision"] == "float16"


def test_numbers_of_numpy_are_those_of_python(folders):
    def told(whole, real):
        arguments = {"pre_trained": False, "coreset_sampling_ratio": real(0.5), "num_neighbors": whole(3)}
        data = extensions.Folder(**folders, k_shot=whole(3), seed=whole(1), test_split_ratio=real(0.25))
        return [
            experiment_of(model, data, seed=whole(2), trainer={"max_epochs": whole(4)})
            for model in (
                extensions.Patchcore(**arguments, image_size=(whole(64), whole(64))),
                {"class_path": "Patchcore", "init_args": arguments | {"image_size": (whole(64), whole(64))}},
            )
        ]

    (expected, _), found = told(int, float), told(np.int64, np.float32)
    assert [one.experiment_id for one in found] == [expected.experiment_id] * 2


def padim(**arguments):
    return extensions.Padim(**MODEL, **arguments)


def changed(made, **attributes):
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: changed(extensions.Patchcore(**MODEL), coreset_sampling_ratio=0.3), "coreset_sampling_ratio is 0.3"),
        (lambda: changed(padim(), configure_optimizers=lambda: None), "configure_optimizers was replaced by hand"),
        (lambda: changed(padim(), pre_processor=extensions.Stfpm(pre_trained=False).pre_processor), "pre_processor"),
        (lambda: extensions.Padim(pre_trained=False, pre_processor=padim().pre_processor), "given pre_processor="),
        (lambda: 3, "expected an AnomalibModule"),
        (extensions.Elpv, "expected an AnomalibModule"),
        (lambda: "Patchcor", "did you mean extensions.Patchcore"),
    ],
)
def test_what_a_record_cannot_hold_is_refused_in_one_sentence(make, words, tmp_path):
    with pytest.raises(ConfigError, match=words) as caught:
        benchmark.run(make(), "Elpv", output=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda kind: kind(**MODEL, n_features=10), lambda kind: kind, lambda _: "OfAScript"])
def test_a_class_of_a_script_or_notebook_is_refused(make):
    kind = type("OfAScript", (extensions.Padim,), {"__module__": "__main__"})
    sys.modules["__main__"].OfAScript = kind
    try:
        with pytest.raises(ConfigError, match=r"OfAScript is defined in a script or notebook.*in a module of its own"):
            experiment_of(make(kind), "Elpv")
    finally:
        del sys.modules["__main__"].OfAScript


def test_a_changed_datamodule_is_refused():
    with pytest.raises(ConfigError, match="train_batch_size is 5, not 32"):
        experiment_of("Padim", changed(extensions.Elpv(), train_batch_size=5))
    with pytest.raises(ConfigError, match="given augmentations="):
        experiment_of("Padim", extensions.Elpv(augmentations=padim().pre_processor.transform))


@pytest.mark.parametrize("package", ["extensions", "anomalib.data"])
def test_a_datamodule_with_other_samples_than_its_arguments_give_is_refused(package, folders):
    def make(**arguments):
        return importlib.import_module(package).Folder(**{**folders, **arguments})

    def with_other_samples(data, change):
        data.setup()
        data.train_data.samples = change(data.train_data.samples)
        return data

    untouched = make(seed=1, val_split_mode="from_test")
    untouched.setup()
    experiment_of("Padim", untouched)
    with pytest.raises(ConfigError, match=r"its train_data holds 5 samples, not 8; .* build it again"):
        experiment_of("Padim", with_other_samples(make(seed=1), lambda rows: rows.iloc[:5].reset_index(drop=True)))
    with pytest.raises(ConfigError, match=r"its train_data holds .* 1, not .* 0; "):
        experiment_of("Padim", with_other_samples(make(seed=1), lambda rows: rows.assign(label_index=1)))
    subset = make(seed=1)
    subset.setup()
    subset.train_data = torch.utils.data.Subset(subset.train_data, [0, 1])
    with pytest.raises(ConfigError, match="its train_data is a Subset, not a "):
        experiment_of("Padim", subset)


def test_splits_that_a_seed_draws_are_compared_with_those_of_the_same_seed(folders):
    import anomalib.data

    few = extensions.Folder(**folders, k_shot=3)
    few.take_run_seed(5)
    contaminated = extensions.ContaminatedFolder(**folders, contamination_ratio=0.2, largest_ratio=0.2)
    contaminated.take_run_seed(5)
    unseeded = anomalib.data.Folder(**folders, val_split_mode="from_test")
    for data in (few, contaminated, unseeded):
        data.setup()
        experiment_of("Padim", data)
    unseeded.test_data.samples = unseeded.test_data.samples.iloc[:1].reset_index(drop=True)
    with pytest.raises(ConfigError, match=r"its splits hold \d+ samples, not 16; "):
        experiment_of("Padim", unseeded)


def test_weights_put_in_by_hand_are_refused():
    model = extensions.Padim("tf_efficientnet_lite0")
    next(iter(model.model.feature_extractor.parameters())).data.zero_()
    with pytest.raises(ConfigError, match=r"the values of model\.feature_extractor"):
        experiment_of(model, "Elpv")


def test_a_model_that_was_used_is_built_anew_and_says_so(found, model, folders, caplog):
    used = padim(n_features=10)
    used._trainer = object()
    again = benchmark.run(used, extensions.Folder(**folders), seed=3, output=found.output)
    assert again.key == found.key
    assert "built anew" in caplog.text or "builds it anew" in caplog.text


def test_a_model_from_a_checkpoint_is_refused(found):
    restored = extensions.Padim.load_from_checkpoint(found.folder / CHECKPOINT)
    with pytest.raises(ConfigError, match="comes from a checkpoint"):
        experiment_of(restored, "Elpv")


def test_describing_an_object_draws_no_random_number(folders):
    torch.manual_seed(5)
    expected = torch.rand(1)
    model = padim(n_features=10)
    torch.manual_seed(5)
    experiment_of(model, extensions.Folder(**folders))
    assert torch.equal(torch.rand(1), expected)


def test_choose_sorts_by_distance_to_the_threshold_and_names_every_error():
    scores = pd.DataFrame({"image": list("abcdef"), "label": [0, 0, 0, 1, 1, 1], "score": [1.0, 4, 7, 2, 6, 9]})
    chosen = choose(scores, 5.0, 2)
    assert {name: list(rows["image"]) for name, rows in chosen.items()} == {
        "best": ["f", "a"], "closest calls": ["b", "e"], "missed (1)": ["d"], "false alarms (1)": ["c"],
    }  # fmt: skip
    assert list(choose(scores[:3], None, 2)) == ["best", "worst"]


def test_show_draws_image_heat_map_and_mask_of_each(found):
    figure = found.show(2)
    texts = {text.get_text() for axis in figure.axes for text in axis.texts}
    assert {"best", "closest calls"} <= texts
    first = figure.axes[:3]
    image, heat, mask = (axis.images[0].get_array() for axis in first)
    assert image.shape == (64, 64, 3)
    assert heat is not None and np.asarray(heat).shape == (64, 64, 3)
    best = first[0].get_title(loc="left")
    assert bool(mask.any()) == best.startswith("bad")


def test_show_without_a_model_says_why(found, folders, tmp_path):
    flips = {"name": "flip", "where": "test"}
    other = benchmark.run(
        padim(n_features=10), extensions.Folder(**folders), seed=3, augmentation=flips, output=tmp_path
    )
    with pytest.raises(RunError, match="tested augmented images"):
        other.show()


def test_export_writes_the_network_that_its_record_names(found, tmp_path):
    exported = found.export(tmp_path / "line")
    assert exported.model == tmp_path / "line" / "model.xml"
    assert exported.model.is_file()
    assert exported.agreement.agrees
    assert found.key in (tmp_path / "line" / "model.json").read_text()


def test_refine_gives_rounds_suspects_and_a_run(folders, tmp_path):
    refined = benchmark.refine(
        padim(n_features=10),
        extensions.Folder(**folders),
        {"strategy": "random", "rounds": 1, "backbone": "tf_efficientnet_lite0", "image_size": 64},
        output=tmp_path,
    )
    assert isinstance(refined, benchmark.Run)
    assert len(refined.suspects) == 8
    assert set(refined.suspects["image"]) == set(refined.paths)
    assert all(path.is_file() for path in refined.paths.values())
    assert len(refined.show_suspects(3).axes[0].images) == 1
    assert refined.rounds["round"].tolist()[0] == 0


def test_a_failed_run_raises_and_leaves_its_record(folders, tmp_path):
    with pytest.raises(RunError, match="max_epochs"):
        benchmark.run({"class_path": "extensions.Stfpm", "init_args": MODEL | {"layers": ["layer1"]}},
                      extensions.Folder(**folders), output=tmp_path)  # fmt: skip
    assert len(list(Path(tmp_path).glob("runs/**/record.json"))) == 1


def test_a_callback_given_as_an_object_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"trainer: found an object .*expected numbers, texts, or entries"):
        experiment_of("Padim", "Elpv", trainer={"callbacks": [object()]})
