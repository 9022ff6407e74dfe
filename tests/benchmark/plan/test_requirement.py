"""`requirement:` of a sweep: wrong ones end it before any work, right ones stand in its plan and its records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmark.__main__ import main
from benchmark.records.archive import read_records
from benchmark.records.packed import read_scores


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"max_false_alarms": 1.2}, "requirement: max_false_alarms is 1.2; expected a share from 0 to 1"),
        ({"max_missed": -0.1}, "requirement: max_missed is -0.1; expected a share from 0 to 1"),
        (
            {"max_missed": 0.0, "cost": {"missed": 500, "false_alarm": 3, "defect_rate": 0.004}},
            "requirement has both max_missed and cost",
        ),
        ({"cost": {"missed": 1, "false_alarm": 1, "defect_rate": 2}}, "requirement: cost: defect_rate is 2"),
        ({"max_false_alarm": 0.1}, "requirement: unknown key 'max_false_alarm'"),
        ({"max_missed": 0.1, "cross_conformal": 5}, "requirement: cross_conformal finds a threshold from good images"),
        ("strict", "requirement is 'strict'"),
    ],
)
def test_a_wrong_requirement_is_one_sentence_and_nothing_is_run(
    tiny_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: object, told: str
) -> None:
    path = tiny_config(1, requirement=asked)
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{path}: {told}" in line
    assert not (tmp_path / "out").exists()


def test_folds_and_images_of_their_own_are_not_asked_for_together(
    tiny_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config(1, requirement={"max_false_alarms": 0.1, "cross_conformal": 5})
    config = yaml.safe_load(path.read_text())
    config["data"][0]["init_args"]["calibration_dir"] = "limits"
    path.write_text(yaml.safe_dump(config))
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) != 0
    assert "cross_conformal is 5 and calibration_dir 'limits'; expected one of the two" in capsys.readouterr().err


def test_a_tested_image_among_those_for_thresholds_stops_the_run_before_its_fit(
    tiny_config: Callable[..., Path], tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config(1)
    config = yaml.safe_load(path.read_text())
    config["data"][0]["init_args"]["calibration_dir"] = str(tiny_root / "test")
    path.write_text(yaml.safe_dump(config))
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 1
    assert "same image in calibration_dir and in training or test" in capsys.readouterr().out
    (record,) = read_records(tmp_path / "out")
    assert record.training.epochs is None


def test_a_requirement_stands_in_plan_and_records_and_can_be_changed(
    tiny_config: Callable[..., Path], tmp_path: Path
) -> None:
    path, output = tiny_config(1, requirement={"max_false_alarms": 0.5}), tmp_path / "out"
    run = ["run", "--config", str(path), "--output", str(output)]
    assert main(run) == 0
    (first,) = read_records(output)
    assert main([*run, "--set", "requirement.max_false_alarms=0.25"]) == 0
    (record,) = read_records(output)
    (plan,) = (json.loads(file.read_text()) for file in (output / "plans").glob("*.json"))
    assert plan["requirement"] == record.thresholds.requirement == {"max_false_alarms": 0.25}
    assert record.key == first.key
    assert record.started == first.started
    scores = read_scores(output, record)
    good = scores.score[scores.label == 0]
    assert (good >= record.thresholds.image).mean() <= 0.25 <= (good >= first.thresholds.image).mean()
