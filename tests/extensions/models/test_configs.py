"""The documents under configs/models: each one is understood, and says how it is run."""

from pathlib import Path

import pytest

from extensions.configuration import describe_model, instantiate_data, load_config

CONFIGS = sorted((Path(__file__).parents[3] / "configs/models").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_is_understood_and_names_its_own_command(path):
    config = load_config(path)
    model = describe_model(config["model"])
    assert model["class_path"].startswith("extensions.")
    assert instantiate_data(config["data"]).name == "elpv"
    assert f"python -m extensions train --config configs/models/{path.name}" in path.read_text()


def test_experiments_that_are_continued_keep_their_settings():
    padim, patchcore = (
        describe_model(load_config(path)["model"])["init_args"]
        for path in CONFIGS
        if path.stem in {"padim_wide_resnet50_2", "patchcore_resnet50"}
    )
    assert (padim["backbone"], padim["n_features"]) == ("wide_resnet50_2", 500)
    assert padim["layers"] == ["layer1", "layer2", "layer3"]
    assert (patchcore["backbone"], patchcore["layers"]) == ("resnet50", ["layer2", "layer3"])
    assert (patchcore["coreset_sampling_ratio"], patchcore["num_neighbors"]) == (0.1, 5)
