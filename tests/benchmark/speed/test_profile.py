"""Where the time of a sweep goes."""

import pandas as pd
import pytest

from benchmark.__main__ import main
from benchmark.speed import profile
from extensions.runtime.stages import START


def in_this_process(command, folder, environment):
    assert command[0] == "benchmark"
    assert main(command[1:]) == 0


def test_every_second_of_a_sweep_belongs_to_a_stage(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(profile, "run_module", in_this_process)
    assert main(["speed", "--profile", str(tiny_config(2)), "--warm", "--output", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").iterdir()
    assert f"open {path}" in capsys.readouterr().out
    frame = pd.read_csv(path).set_index("stage")
    assert {START, "fit", "test", "setting up the data", "writing the tables", profile.REST} <= set(frame.index)
    assert frame.loc["fit", "n"] == 2
    parts = frame.drop(index="all")
    assert frame.loc["all", "seconds"] == pytest.approx(parts["seconds"].sum(), abs=0.2)
    assert parts["share"].sum() == pytest.approx(100, abs=0.2)
    assert (parts["seconds"] >= 0).all()
