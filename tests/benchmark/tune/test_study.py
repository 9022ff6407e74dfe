"""The study of what each validation is worth judges by the rule that `tune` goes by."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = ROOT / ".ci" / "tune_study.py"
    spec = importlib.util.spec_from_file_location("tune_study", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scored(folder: Path, number: int, bad: list[float], tested: list[float]) -> None:
    """A file of `score`: good images 0, 1 and 2 held out, bad ones drawn and taken, good ones 0 and 1 tested."""
    lines = [(f"good{i}", 0, float(i), "held_out", "") for i in range(3)]
    lines += [(f"drawn{i}", 1, score, "drawn", "") for i, score in enumerate(bad)]
    lines += [(f"taken{i}", 1, score, "test", "taken") for i, score in enumerate(bad)]
    lines += [(f"left{i}", int(i > 1), score, "test", "left") for i, score in enumerate([0.0, 1.0, *tested])]
    frame = pd.DataFrame(lines, columns=["image", "label", "score", "tag", "role0"])
    frame = frame.assign(role1=frame["role0"], role2=frame["role0"], category="", latency_ms=1.0, detector="Padim")
    frame = frame.assign(setting=number, choices=json.dumps({}), seconds=1.0, cpu_seconds=1.0)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{number:03}.csv", index=False)


@pytest.mark.parametrize(("default", "better", "taken"), [([3.0, 1.5], [5.0, 4.0], 0), ([1.5, 0.5], [5.0, 4.0], 1)])
def test_regret_is_that_of_what_the_rule_takes(
    study: ModuleType, tmp_path: Path, default: list[float], better: list[float], taken: int
) -> None:
    scored(tmp_path / "plate", 0, default, [0.5, 2.0])
    scored(tmp_path / "plate", 1, better, [3.0, 2.0])
    trials = study.judged(tmp_path)
    assert trials["drawn"].tolist() == [
        roc_auc_score([0, 0, 0] + [1] * len(bad), [0.0, 1.0, 2.0, *bad]) for bad in (default, better)
    ]
    assert trials["test_0"].tolist() == [0.75, 1.0]
    (found,) = study.summary(trials).query("validation == 'labelled'").to_dict("records")
    assert (found["default_regret"], found["regret_of_best"]) == (0.25, 0)
    assert (found["regret"], found["taken"]) == (0.25 * (1 - taken), taken)
    if not taken:
        assert trials.loc[1, "error_drawn"] == pytest.approx((1 / 36 + 1 / 36) ** 0.5), "by hand, as in test_lead"
