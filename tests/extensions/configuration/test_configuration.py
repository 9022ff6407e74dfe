from pathlib import Path

import pytest
import yaml

from extensions.configuration import (
    ConfigError,
    apply_overrides,
    describe_data,
    describe_model,
    instantiate_data,
    instantiate_model,
    load_config,
)

PADIM = {
    "class_path": "anomalib.models.Padim",
    "init_args": {"backbone": "resnet18", "layers": ["layer1"], "pre_trained": False, "n_features": 10},
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def changed(**init_args: object) -> dict:
    return {**PADIM, "init_args": {**PADIM["init_args"], **init_args}}


def test_overrides_equal_the_same_keys_written_in_the_file(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.yaml", "model: {class_path: A, init_args: {k: 1}}\nmodels: [{a: 1}, {a: 2}]\n")
    asked = write(
        tmp_path / "asked.yaml",
        "model: {class_path: A, init_args: {k: 5, layers: [layer2, layer3], lr: 1e-3, none: null}}\n"
        "models: [{a: 1}, {a: 2, init_args: {x: 0.5}}, {a: 3}]\ntrainer: {max_epochs: 2}\n",
    )
    overrides = [
        "model.init_args.k=5",
        "model.init_args.layers=[layer2, layer3]",
        "model.init_args.lr=1e-3",
        "model.init_args.none=",
        "models.1.init_args.x=0.5",
        "models.2.a=3",
        "trainer.max_epochs=2",
    ]
    config = load_config(plain, overrides=overrides)
    assert config == load_config(asked)
    assert isinstance(config["model"]["init_args"]["lr"], float)


def test_overrides_leave_the_given_config_alone() -> None:
    config = {"data": {"init_args": {"root": "a"}}}
    assert apply_overrides(config, ["data.init_args.root=b"])["data"]["init_args"]["root"] == "b"
    assert config == {"data": {"init_args": {"root": "a"}}}


def test_empty_file_is_an_empty_config(tmp_path: Path) -> None:
    assert load_config(write(tmp_path / "empty.yaml", "# nothing yet\n")) == {}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model", ["KEY=VALUE"]),
        ("=1", ["KEY=VALUE"]),
        ("seed.x=1", ["seed is 3", "'x'"]),
        ("models.7.a=1", ["models is a list of 1", "'7'"]),
        ("models.first.a=1", ["models is a list of 1", "'first'"]),
        ("seed=[1", ["not valid YAML"]),
    ],
)
def test_override_that_does_not_fit_is_one_sentence(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        apply_overrides({"seed": 3, "models": [{"a": 1}]}, [override])
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in [override.partition("=")[0], *words])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model:\n  a: 1\n b: 2\n", ["bad.yaml:3:", "not valid YAML"]),
        ("model:\n  a: [1\n", ["bad.yaml:", "not valid YAML"]),
        ("a: 1\nb: 2\na: 3\n", ["bad.yaml:3:", "'a'", "twice"]),
        ("- 1\n- 2\n", ["bad.yaml", "a list of 2"]),
        ("a: \0\n", ["bad.yaml", "not valid YAML"]),
    ],
)
def test_broken_file_is_named_with_its_line(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(write(tmp_path / "bad.yaml", text))
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path / "patchcore.yaml", "a: 1\n")
    with pytest.raises(ConfigError, match=r"patchcor\.yaml: no such config file; did you mean patchcore\.yaml\?"):
        load_config(tmp_path / "patchcor.yaml")
    with pytest.raises(ConfigError, match="no folder"):
        load_config(tmp_path / "nowhere" / "patchcore.yaml")


def test_merge_keys_and_anchors_are_no_repeated_keys(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\none: {<<: *base, b: 3}\n"
    assert load_config(write(tmp_path / "c.yaml", text))["one"] == {"a": 1, "b": 3}


def test_model_is_built_with_its_arguments_and_nested_components() -> None:
    size = [64, 64]
    transform = {"class_path": "torchvision.transforms.v2.Resize", "init_args": {"size": size}}
    pre_processor = {"class_path": "anomalib.pre_processing.PreProcessor", "init_args": {"transform": transform}}
    model = instantiate_model(changed(pre_processor=pre_processor))
    assert type(model).__name__ == "Padim"
    assert model.hparams["n_features"] == 10
    assert list(model.pre_processor.transform.size) == size


def test_data_is_built_with_its_augmentations(tiny_root: Path) -> None:
    flip = {"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 1.0}}
    spec = {
        "class_path": "anomalib.data.Folder",
        "init_args": {"name": "t", "root": str(tiny_root), "normal_dir": "train/good", "train_augmentations": flip},
    }
    data = instantiate_data(spec)
    assert data.train_augmentations.p == 1.0
    assert describe_data(spec)["init_args"]["train_batch_size"] == 32


def test_short_name_means_our_class_and_long_paths_their_flat_name() -> None:
    assert describe_model({"class_path": "Padim"})["class_path"] == "extensions.Padim"
    assert describe_model("extensions.models.Padim")["class_path"] == "extensions.Padim"
    assert describe_model("Dfkde")["class_path"] == "anomalib.models.Dfkde"
    assert describe_model(PADIM)["class_path"] == "anomalib.models.Padim"
    assert describe_data({"class_path": "Folder", "init_args": {"name": "n", "normal_dir": "g"}})["class_path"] == (
        "extensions.Folder"
    )


def test_description_is_the_same_however_much_is_left_to_defaults() -> None:
    short = describe_model(PADIM)
    assert describe_model(short) == short
    assert describe_model(changed(pre_processor=True, evaluator=True)) == short
    assert describe_model(changed(n_features=11)) != short
    assert yaml.safe_load(yaml.safe_dump(short)) == short


def test_describing_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from anomalib.models import Padim

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Padim, "configure_pre_processor", fail)
    assert describe_model(PADIM)["init_args"]["n_features"] == 10


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"class_path": "Patchcor"}, ["'Patchcor'", "did you mean", "extensions.Patchcore"]),
        ({"class_path": "extensions.Padm"}, ["'extensions.Padm'", "did you mean", "extensions.Padim"]),
        ({"class_path": "zzz.Qqq"}, ["'zzz.Qqq'", "extensions.Patchcore"]),
        ({"class_path": "anomalib.data.Folder"}, ["anomalib.data.Folder", "AnomalibModule"]),
        ({"class_path": "anomalib.models.AnomalibModule"}, ["AnomalibModule"]),
        ({"init_args": {}}, ["class_path"]),
        ({"class_path": "Padim", "backbone": "resnet18"}, ["'backbone'", "init_args"]),
        ({"class_path": "Padim", "init_args": 3}, ["init_args", "found 3"]),
        (None, ["class_path", "None"]),
        (changed(bakbone="x"), ["'bakbone'", "did you mean backbone?", "known: backbone,"]),
        (changed(n_features="many"), ["model.init_args.n_features", "expected null or int", "found many"]),
        (changed(layers=3), ["model.init_args.layers", "expected a list", "found 3"]),
        (changed(pre_trained=5), ["model.init_args.pre_trained", "expected bool", "found 5"]),
        (
            changed(pre_processor={"class_path": "anomalib.pre_processing.PreProcesor"}),
            ["model.init_args.pre_processor", "PreProcesor", "did you mean PreProcessor?"],
        ),
        (
            changed(pre_processor={"class_path": "anomalib.pre_processing.PreProcessor", "init_args": {"size": 1}}),
            ["PreProcessor has no argument 'size'", "known: transform"],
        ),
    ],
)
def test_wrong_model_entry_is_one_sentence_with_the_nearest_names(spec: object, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        describe_model(spec)
    assert "\n" not in str(error.value)
    missing = [word for word in words if word not in str(error.value)]
    assert not missing, str(error.value)


def test_missing_required_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"anomalib\.data\.Folder needs 'normal_dir'"):
        describe_data({"class_path": "anomalib.data.Folder", "init_args": {"name": "x"}})


def test_error_of_a_constructor_comes_through_as_it_was_raised() -> None:
    spec = changed(backbone="resnet50")
    del spec["init_args"]["n_features"]
    with pytest.raises(ValueError, match=r"^n_features must be specified for backbone resnet50"):
        instantiate_model(spec)


def test_module_that_fails_to_import_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "needs_more.py", "import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"importing needs_more failed: .*a_package_that_is_not_there"):
        describe_model({"class_path": "needs_more.Model"})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("models/padim.yml", "; did you mean padim.yaml?"),
        ("models/Padmi.yaml", "; did you mean padim.yaml?"),
        ("padim.yaml", "; did you mean {0}/models/padim.yaml?"),
        ("models/yaml.yaml", " (there: padim.yaml, patchcore.yaml)"),
        ("models/benchmark.yaml", " (there: padim.yaml, patchcore.yaml)"),
        ("data/elvp", "; did you mean elpv.yaml?"),
    ],
)
def test_a_missing_config_is_compared_by_its_name_not_its_ending(tmp_path: Path, asked: str, told: str) -> None:
    for name in ("models/padim.yaml", "models/patchcore.yaml", "data/elpv.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / asked)
    assert str(caught.value) == f"{tmp_path / asked}: no such config file{told.format(tmp_path)}"
