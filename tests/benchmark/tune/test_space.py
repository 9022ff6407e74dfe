"""Which settings are tried of a detector."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.tune import space as module
from benchmark.tune.space import CANDIDATES, check_space, space_of
from extensions.configuration import ConfigError

SMALL = {"backbone": ["resnet18", "tf_efficientnet_lite0"], "image_size": [128, 256]}


def patchcore(**arguments: Any) -> dict[str, Any]:
    return {"class_path": "extensions.Patchcore", "init_args": arguments}


def values_of(model: dict[str, Any], given: dict[str, list[Any]] | None = None) -> dict[str, tuple[Any, ...]]:
    return {one.name: one.values for one in space_of(model, SMALL if given is None else given)[0].dimensions}


def test_a_detector_is_tried_in_the_arguments_that_it_takes() -> None:
    assert {"layers", "neighborhood", "coreset_sampling_ratio"} <= set(values_of(patchcore()))
    padim = values_of({"class_path": "extensions.Padim", "init_args": {}})
    assert set(padim) == {"backbone", "image_size", "center_crop", "layers", "score_pooling"}
    assert padim["layers"][0] == [4, 8, 16]
    assert [8, 16] in padim["layers"]


def test_the_default_is_among_the_candidates_and_stays_as_configured() -> None:
    model = patchcore(image_size=224, coreset_sampling_ratio=0.25, layers=["layer2"], backbone="resnet18")
    found, _ = space_of(model, SMALL)
    assert found.at(found.default) is model
    assert (found.default["image_size"], found.default["coreset_sampling_ratio"]) == (224, 0.25)
    assert found.default["layers"] == "[8]"


def test_strides_mean_the_layers_of_whatever_backbone_and_crops_a_share_of_whatever_size() -> None:
    found, _ = space_of(patchcore(), SMALL)
    choices = {**found.default, "layers": "[8]", "center_crop": 0.875, "image_size": 128}
    assert found.at(choices)["init_args"] | {"x": 0} == {
        "backbone": "resnet18", "image_size": 128, "center_crop": 112, "layers": ["layer2"], "neighborhood": 3,
        "coreset_sampling_ratio": 0.1, "num_neighbors": 9, "x": 0,
    }  # fmt: skip
    lite = found.at({**choices, "backbone": "tf_efficientnet_lite0"})["init_args"]
    assert lite["layers"] == ["blocks.2"]
    own = found.at({**found.default, "backbone": "tf_efficientnet_lite0"})["init_args"]
    assert "layers" not in own, "those that the detector takes by itself"


def test_named_layers_follow_to_another_backbone() -> None:
    found, _ = space_of(patchcore(layers=["layer2", "layer3"]), SMALL)
    moved = found.at({**found.default, "backbone": "tf_efficientnet_lite0"})["init_args"]
    assert moved["layers"] == ["blocks.2", "blocks.4"]


def test_each_way_to_score_is_tried_once_also_where_a_detector_does_one_of_them_by_itself() -> None:
    def tried(kind: str, **arguments: Any) -> tuple[Any, ...]:
        return values_of({"class_path": f"extensions.{kind}", "init_args": arguments})["score_pooling"]

    assert tried("Patchcore") == (None, "max", "top_1%")
    assert tried("Patchcore", score_pooling="top_100") == ("top_100", None, "max", "top_1%")
    assert tried("Padim") == (None, "top_1%"), "its own is the maximum"
    assert tried("Padim", score_pooling="max") == ("max", "top_1%")
    cdo = {"class_path": "extensions.Cdo", "init_args": {"score": "top"}}
    assert "score_pooling" not in values_of(cdo), "its older argument takes no other beside it"
    found, _ = space_of(patchcore(), SMALL)
    model = found.at({**found.default, "score_pooling": "top_1%"})
    assert model["init_args"]["score_pooling"] == "top_1%"
    assert "score_pooling" not in found.at({**found.default, "image_size": 128})["init_args"]


def test_weights_of_its_own_leave_no_other_backbone() -> None:
    assert "backbone" not in values_of(patchcore(weights="mine.safetensors"), {"image_size": [128, 256]})


def test_another_argument_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANDIDATES", CANDIDATES | {"precision": ("float32", "float16")})
    assert values_of(patchcore())["precision"] == ("float32", "float16")


def test_a_backbone_without_weights_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANDIDATES", CANDIDATES | {"backbone": ("resnet18", "no_weights_of_this")})
    found, left_out = space_of(patchcore(backbone="tf_efficientnet_lite0"), {})
    assert any("no_weights_of_this is not tried" in sentence for sentence in left_out)
    assert all("no_weights_of_this" not in map(str, one.values) for one in found.dimensions)


@pytest.mark.parametrize(("given", "told"), [
    ({"image_sise": [128]}, "image_sise.*did you mean image_size"), ({"image_size": 128}, "lists of candidates"),
    ({"image_size": []}, "lists of candidates"), ({"center_crop": [224]}, "shares of image_size"), ([1], "lists"),
])  # fmt: skip
def test_a_space_that_cannot_be_is_refused(given: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_space(given, [patchcore()])


def test_a_detector_with_nothing_to_try_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the arguments"):
        space_of({"class_path": "anomalib.models.Dsr", "init_args": {}}, {})
