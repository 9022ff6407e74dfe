"""One contract over every file under configs/: it reads, its classes and arguments exist, and it runs."""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import timm
import yaml

from extensions.__main__ import main
from extensions.cli import WorkbenchCLI
from extensions.configuration import describe_data, describe_model, instantiate_model, load_config
from extensions.refinement.__main__ import read_experiment
from extensions.self_supervised.probe.probe_encoders import find_encoder
from extensions.self_supervised.probe.probe_settings import probe_settings

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
MODELS = [path for path in CONFIGS if path.parent.name == "models"]
STOCK = [path for path in CONFIGS if path.parent.name == "anomalib"]
DATA = [path for path in CONFIGS if path.parent.name == "data"]
BENCHMARKS = [path for path in CONFIGS if path.parent.name == "benchmark"]
REFINEMENTS = [path for path in CONFIGS if path.parent.name == "refinement"]
TUNES = [path for path in CONFIGS if path.parent.name == "tune"]
PROBES = [path for path in CONFIGS if path.parent.name == "self_supervised" and path.stem.startswith("probe_")]
PACKAGED = {"extensions.ContaminatedElpv", "extensions.Elpv", "extensions.ElpvSynthetic"}
ANY_MODEL = ["--model", "extensions.Padim", "--model.backbone", "test_resnet", "--model.n_features", "10"]
ANY_DATA = ["--data", "extensions.Elpv"]
TINY_DATA = ["--data.n_train", "24", "--data.n_test", "12", "--data.num_workers", "0"]
TINY_RUN = ["--model.image_size", "64", "--trainer.max_epochs", "1"]
RANDOM = ["--model.pre_trained", "false"]
ON_RANDOM = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64}
MEMBERS = [{"class_path": f"extensions.{name}", "init_args": ON_RANDOM} for name in ("Patchcore", "Padim")]
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--model.visualizer", "false"]


def named(path: Path) -> str:
    return path.relative_to(ROOT / "configs").as_posix()


def values(node: Any) -> list[Any]:
    """Every plain value in a config."""
    if isinstance(node, dict):
        return [value for child in node.values() for value in values(child)]
    if isinstance(node, list):
        return [value for child in node for value in values(child)]
    return [node]


def test_there_are_configs_to_test() -> None:
    assert MODELS
    assert STOCK
    assert DATA
    assert BENCHMARKS
    assert REFINEMENTS
    assert PROBES
    assert TUNES


@pytest.mark.parametrize("path", CONFIGS, ids=named)
def test_config_says_how_to_run_it_and_names_no_folder_of_this_machine(path: Path) -> None:
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert any("python -m " in line or "make " in line for line in comments), "no command in its first lines"
    if path in MODELS + STOCK:
        assert any(f"python -m extensions train --config configs/{named(path)}" in line for line in comments)
    for value in values(load_config(path)):
        if isinstance(value, str):
            assert not PurePosixPath(value).is_absolute(), value
            assert ".." not in PurePosixPath(value).parts, value


@pytest.mark.parametrize("path", MODELS + STOCK + DATA, ids=named)
def test_config_of_the_command_line_is_accepted_whole(path: Path) -> None:
    config = load_config(path)
    rest = ([] if "model" in config else ANY_MODEL) + ([] if "data" in config else ANY_DATA)
    parsed = WorkbenchCLI(["train", "--config", str(path), *rest], build=False).config.train
    for key in ("model", "data"):
        if key in config:
            assert parsed[key].class_path == config[key]["class_path"]


def test_models_have_the_size_that_their_configs_tell_in_words() -> None:
    """PaDiM draws 500 of the 1792 channels of layers 1 to 3; PatchCore takes layers 2 and 3, and 5 neighbors."""

    def build(name: str) -> Any:
        described = load_config(ROOT / f"configs/models/{name}.yaml")["model"]
        return instantiate_model({**described, "init_args": described["init_args"] | {"pre_trained": False}}).model

    padim, patchcore = build("padim_wide_resnet50_2"), build("patchcore_resnet50")
    for network, arch, layers in ((padim, "wide_resnet50_2", (1, 2, 3)), (patchcore, "resnet50", (2, 3))):
        widths = timm.create_model(arch, features_only=True, pretrained=False).feature_info.channels()
        assert network.feature_extractor.out_dims == [widths[layer] for layer in layers]
    assert (len(padim.idx), sum(padim.feature_extractor.out_dims)) == (500, 1792)
    assert int(padim.idx.max()) < 1792
    assert patchcore.num_neighbors == 5
    assert (
        load_config(ROOT / "configs/models/patchcore_resnet50.yaml")["model"]["init_args"]["coreset_sampling_ratio"]
        == 0.1
    )


@pytest.mark.parametrize("path", BENCHMARKS, ids=named)
def test_every_experiment_of_a_benchmark_has_known_classes_and_arguments(path: Path) -> None:
    from benchmark.plan.grid import expand

    assert expand(load_config(path), folder=path.parent)  # which checks them


@pytest.mark.parametrize("path", TUNES, ids=named)
def test_a_search_has_known_classes_arguments_and_candidates(path: Path) -> None:
    from benchmark.tune.command import read_plan

    plan = read_plan(load_config(path), folder=path.parent)
    assert all(space.n_settings > 1 and describe_model(space.at(space.default)) for space in plan.spaces)
    assert all(map(describe_data, plan.data))


@pytest.mark.parametrize("path", REFINEMENTS, ids=named)
def test_a_refinement_has_known_classes_and_arguments(path: Path) -> None:
    experiment = read_experiment(load_config(path), path)
    assert describe_model(experiment.model)
    assert describe_data(experiment.data)
    assert experiment.settings.count("strategy=") == 1


@pytest.mark.parametrize("path", PROBES, ids=named)
def test_a_probe_has_known_keys_backbones_and_layers(path: Path) -> None:
    settings = probe_settings(load_config(path), path)
    assert settings.data["root"]
    for entry in settings.encoders:
        trained = {} if entry["backbone"] == "pixels" else {"pre_trained": False}  # tests have no weights
        rest = {key: value for key, value in entry.items() if key != "weights"}
        assert find_encoder(**(rest | trained)).layers


@pytest.mark.parametrize("path", MODELS, ids=named)
def test_model_config_trains_on_packaged_data(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("elpv_dataset")
    config = load_config(path)
    crop = ["--model.center_crop", "null"] if "center_crop" in config["model"].get("init_args", {}) else []
    data = (
        []
        if config.get("data", {}).get("class_path") in PACKAGED
        else ["--config", str(ROOT / "configs/data/elpv.yaml")]
    )
    has_backbone = "backbone" in describe_model(config["model"])["init_args"]
    random = RANDOM if has_backbone else []
    # Tokens of random weights are not as far apart as DINOv2's, for which the threshold is.
    near = ["--model.foreground_threshold", "0"] if "foreground" in config["model"].get("init_args", {}) else []
    if "members" in config["model"]["init_args"]:
        config["model"]["init_args"]["members"] = MEMBERS
        path = tmp_path / path.name
        path.write_text(yaml.safe_dump(config))
    run_tiny(["--config", str(path), *data, *crop, *near, *random], tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("path", [p for p in DATA if load_config(p)["data"]["class_path"] in PACKAGED], ids=named)
def test_packaged_data_config_trains_a_model(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("elpv_dataset")
    run_tiny([*ANY_MODEL, *RANDOM, "--config", str(path)], tmp_path, monkeypatch, capsys)


def run_tiny(args: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Train and test on a few small images with random weights."""
    monkeypatch.chdir(folder)
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # restored afterwards, since seeding sets them
        monkeypatch.setenv(name, "0")
    run = TINY_RUN if "ensemble.yaml" not in args[1] else TINY_RUN[2:]  # its members have sizes of their own
    code = main(["train", *args, *TINY_DATA, *run, *QUIET])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "image_AUROC" in shown.out
    assert list(folder.rglob("model.ckpt"))
