"""`benchmark tune`: a search on real fits, resumed, and a result that `benchmark run` takes as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmark.__main__ import main
from benchmark.tune.command import read_plan
from extensions.configuration import ConfigError, load_config

Product = Callable[..., dict[str, Any]]


def config_of(folder: Path, data: dict[str, Any], detector: dict[str, Any], **more: Any) -> Path:
    document = {
        "name": "product", "seeds": [0], "images": 0, "data": [data], "models": [detector],
        "validation": {"labelled": 3},
        "space": {"image_size": [64, 96], "layers": [[4, 8], [8]], "backbone": ["test_resnet"], "center_crop": [None],
                  "score_pooling": [None]},
    } | more  # fmt: skip
    path = folder / "tune.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))
    return path


def test_a_search_and_the_run_of_its_result(
    product: Product, detector: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    config, output = config_of(tmp_path, product(), detector), tmp_path / "found"
    command = ["tune", "--config", str(config), "--output", str(output), "--budget", "1h"]
    assert main(command) == 0
    assert "3 labelled defects of each data set, which are not tested" in capsys.readouterr().out
    trials = pd.read_csv(output / "trials.csv")
    assert len(trials) == 2 * 3, "every setting and the default's layers, then it ends before its budget"
    assert trials["is_default"].sum() == trials["is_best"].sum() == 1
    assert trials.loc[0, "is_default"]
    assert trials["validation"].str.contains("3 labelled defects").all()
    text = (output / "best.yaml").read_text(encoding="utf-8")
    assert "Chosen by: 3 labelled defects" in text
    assert str(tmp_path) not in text.split("name:")[0], "the head names no folder of this machine"
    best = load_config(output / "best.yaml")
    assert best["models"][0]["init_args"] == detector["init_args"], "the default as configured"
    assert best["data"][0]["init_args"]["tuned_on"] == 3

    before = (output / "trials.csv").read_bytes()
    assert main(command) == 0
    assert (output / "trials.csv").read_bytes() == before, "nothing was left to do"

    assert main(["run", "--config", str(output / "best.yaml"), "--output", str(tmp_path / "ran")]) == 0
    table = pd.read_csv(tmp_path / "ran" / "leaderboard.csv")
    assert len(table[table["category"] == "mean"]) == len(best["models"])
    assert set(table["pareto"]) <= {"yes", "no"}
    assert table["latency_ms"].notna().all()
    (record, *_) = (tmp_path / "ran" / "runs").rglob("record.json")
    assert json.loads(record.read_text())["experiment"]["data"]["init_args"]["tuned_on"] == 3
    assert json.loads(record.read_text())["dataset"]["n_test_anomalous"] == 5


def test_another_search_does_not_mix_with_that_of_a_folder(
    product: Product, detector: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    command = ["tune", "--config", str(config_of(tmp_path, product(), detector)), "--output", str(tmp_path / "found")]
    assert main([*command, "--budget", "0.001s"]) == 0
    assert main([*command, "--budget", "1s", "--set", "validation.seed=7"]) == 1
    assert "holds a search with other validation and data" in capsys.readouterr().err


@pytest.mark.parametrize(("changes", "told"), [
    ({"refinement": [{"strategy": "consensus"}]}, "refinement: no settings are searched for under it"),
    ({"validation": {"labeled": 3}}, "did you mean labelled"),
    ({"space": {"image_sise": [3]}}, "did you mean image_size"),
    ({"valdation": "drawn"}, "unknown key 'valdation'"),
    ({"models": None}, "needs a list 'models'"),
])  # fmt: skip
def test_a_config_that_cannot_be_is_one_sentence(
    product: Product, detector: dict[str, Any], tmp_path: Path, capsys: Any, changes: dict[str, Any], told: str
) -> None:
    config = config_of(tmp_path, product(), detector, **changes)
    assert main(["tune", "--config", str(config), "--output", str(tmp_path / "found")]) == 1
    told_there = capsys.readouterr().err
    assert told in told_there
    assert len(told_there.splitlines()) == 1
    assert not (tmp_path / "found" / "trials.csv").exists()


def test_the_sweep_knows_nothing_of_a_search(
    product: Product, detector: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    assert main(["run", "--config", str(config_of(tmp_path, product(), detector))]) == 1
    assert "tune" in capsys.readouterr().err


def test_models_of_one_class_are_two_searches(product: Product, detector: dict[str, Any]) -> None:
    small = {**detector, "init_args": detector["init_args"] | {"n_features": 5}}
    plan = read_plan({"data": [product()], "models": [detector, small], "seeds": [4, 5]})
    assert [space.model for space in plan.spaces] == [detector, small]
    assert (plan.seeds, {one.seed for one in plan.experiments}, len(plan.data)) == ([4, 5], {4}, 1)


def test_defaults_to_drawn_defects(product: Product, detector: dict[str, Any]) -> None:
    assert read_plan({"data": [product()], "models": [detector]}).validation.kind == "drawn"
    with pytest.raises(ConfigError, match="validation"):
        read_plan({"data": [product()], "models": [detector], "validation": "test"})
