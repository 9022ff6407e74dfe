"""`{category}` and `{seed}` in a model's arguments: one row, a file for each run."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from benchmark.api.found_run import find_run
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import prepare
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.plan.placeholders import filled
from extensions.configuration import ConfigError


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def products(tiny_root, tmp_path_factory) -> Path:
    """Two products in the folders of MVTec AD."""
    root = tmp_path_factory.mktemp("products")
    for category in ("cans", "nuts"):
        for folder, source in (("train/good", "train/good"), ("test/good", "test/good"), ("test/bent", "test/bad")):
            shutil.copytree(tiny_root / source, root / category / folder)
        (root / category / "ground_truth/bent").mkdir(parents=True)
        for mask in (tiny_root / "mask/bad").iterdir():
            shutil.copy(mask, root / category / "ground_truth/bent" / f"{mask.stem}_mask.png")
    return root


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A file of random weights for each product."""
    import timm

    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    for number, category in enumerate(("cans", "nuts")):
        torch.manual_seed(number)
        torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / f"{category}_0.pth")
    return tmp_path


def experiment(products: Path, category: str, *, seed: int = 0) -> Experiment:
    model = {"backbone": "test_resnet", "weights": "{category}_{seed}.pth", "image_size": 32, "n_features": 10}
    data = {"root": str(products), "category": category, "num_workers": 0}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.MVTecAD", "init_args": data},
        seed=seed,
    )


def test_each_run_takes_its_own_file_and_all_stand_in_one_row(products, weights, tmp_path):
    found = [prepare(experiment(products, category)) for category in ("cans", "nuts")]
    for one in found:
        assert one.error is None
        assert one.weights.sha256 == sha256_of(weights / f"{one.category}_0.pth")
    assert found[0].key != found[1].key
    assert found[0].experiment.settings == found[1].experiment.settings
    assert found[0].experiment.canonical["model"] == found[1].experiment.canonical["model"]

    output = tmp_path / "output"
    record = run_experiment(experiment(products, "nuts"), output, options=RunOptions(progress=False))
    assert record.status == "finished", record.error
    assert record.experiment.model.init_args["weights"] == "{category}_{seed}.pth"
    kept = torch.load(output / record.folder / "model.ckpt", weights_only=True)["state_dict"]
    expected = torch.load(weights / "nuts_0.pth", weights_only=True)
    torch.testing.assert_close(
        kept["model.feature_extractor.feature_extractor.layer1.0.conv1.weight"], expected["layer1.0.conv1.weight"]
    )

    again = find_run(record.key, output)  # what an export would fit again
    assert again.prepared.key == record.key
    assert again.prepared.weights.sha256 == sha256_of(weights / "nuts_0.pth")


def test_a_file_that_is_missing_for_a_seed_fails_that_run_and_names_it(products, weights):
    error = prepare(experiment(products, "cans", seed=1)).error
    assert "cans_1.pth" in str(error)


def test_texts_are_filled_wherever_they_stand_and_other_values_stay():
    given = {"weights": Path("a/{category}.pth"), "layers": ["layer1", "{seed}"], "nu": 0.5, "n": 3, "none": None}
    expected = {"weights": "a/cans.pth", "layers": ["layer1", "7"], "nu": 0.5, "n": 3, "none": None}
    assert filled(given, category="cans", seed=7) == expected


def test_what_nothing_fills_is_refused():
    with pytest.raises(
        ConfigError, match=r"'\{categry\}\.pth' has the unknown placeholder \{categry\}; did you mean cat"
    ):
        filled({"weights": "{categry}.pth"}, category="cans", seed=0)
    with pytest.raises(ConfigError, match="the data set has no category"):
        filled({"weights": "{category}.pth"}, category="", seed=0)
    config = {
        "models": [
            {"class_path": "extensions.Padim", "init_args": {"backbone": "test_resnet", "weights": "{product}.pth"}}
        ],
        "data": [{"class_path": "extensions.Elpv"}],
    }
    with pytest.raises(ConfigError, match=r"unknown placeholder \{product\}"):
        expand(config)
