"""What commands share: help with an example, and commands that can be typed as they are told."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import pytest

from extensions.runtime.command import exit_code, same_data, set_help, workbench


def test_help_keeps_the_example_on_its_line_and_names_the_program() -> None:
    parser = argparse.ArgumentParser(prog="workbench run")
    set_help(parser, "Runs. " * 40, notes="Mind. " * 40, example="--config a.yaml")
    lines = parser.format_help().splitlines()
    assert lines[-2:] == ["example:", "  workbench run --config a.yaml"]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("found", ["on the path", "beside python", "not installed", "another one on the path"])
def test_a_told_command_can_be_typed(found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / ".venv" / "bin" / "workbench"
    script.parent.mkdir(parents=True)
    if found != "not installed":
        script.touch()
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    which = {"on the path": str(script), "another one on the path": "/elsewhere/workbench"}
    monkeypatch.setattr(shutil, "which", lambda _: which.get(found))
    monkeypatch.chdir(tmp_path)
    told = workbench("predict", "--input", Path("my images"))
    start = {"on the path": "workbench", "not installed": "python -m extensions.workbench"}
    assert told == f"{start.get(found, '.venv/bin/workbench')} predict --input 'my images'"


def test_the_next_command_reads_the_same_configuration() -> None:
    options = argparse.Namespace(config=Path("a.yaml"), data_root=Path("d"), set=["seed=1"])
    assert list(map(str, same_data(options))) == ["--config", "a.yaml", "--data-root", "d", "--set", "seed=1"]


def test_an_error_is_one_line_unless_it_is_a_list(capsys: pytest.CaptureFixture) -> None:
    def fail() -> int:
        msg = "two problems:\n  one\n  two"
        raise ValueError(msg)

    assert exit_code(fail) == 1
    assert exit_code(fail, in_lines=True) == 1
    assert capsys.readouterr().err == "error: two problems: one two\nerror: two problems:\n  one\n  two\n"
