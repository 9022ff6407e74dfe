"""The console script: all commands under one name, by the same functions."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from extensions.workbench.__main__ import main
from extensions.workbench.table import GROUPS, SUBCOMMANDS

ROOT = Path(__file__).resolve().parents[3]
PROMISED = [
    *("run", "table", "check", "sheet", "refine", "pretrain", "probe", "backbones", "export", "predict", "bench"),
    *("compare", "serve", "speed", "cache", "train", "test"),
]
NESTED = ("pretrain fit", "pretrain views", "pretrain export", "backbones list", "transforms show")


def shown(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    try:
        assert main(arguments) == 0
    except SystemExit as end:
        assert end.code == 0
    return capsys.readouterr().out


def test_the_script_of_the_package_is_this_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, function = scripts["workbench"].split(":")
    assert getattr(importlib.import_module(module), function) is main


def test_help_lists_all_commands_by_what_they_are_for_and_waits_for_no_large_library() -> None:
    code = (
        "import sys; from extensions.workbench.__main__ import main; main(['--help']); "
        "print(sorted({'torch', 'pandas', 'numpy', 'anomalib'} & {*sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
    places = [out.index(f"\n{title}:\n") for title in GROUPS]
    assert places == sorted(places)
    assert not [name for name in PROMISED if not re.search(rf"^  {name} +\S", out, re.MULTILINE)]


@pytest.mark.parametrize("name", [*SUBCOMMANDS, *NESTED])
def test_help_of_each_names_itself_and_ends_with_an_example(name: str, capsys: pytest.CaptureFixture) -> None:
    text = shown(capsys, *name.split(), "--help")
    assert text.startswith(f"usage: workbench {name} ")
    example = text.splitlines()[-1]
    assert example.startswith(f"  workbench {name} ")
    assert "python -m" not in text


def command_lines() -> list[list[str]]:
    names = [name for name in SUBCOMMANDS if SUBCOMMANDS[name].room != "extensions"]
    return [name.split() for name in (*names, *NESTED)]


@pytest.mark.parametrize("name", command_lines(), ids=" ".join)
def test_the_example_of_each_is_accepted(
    name: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = shlex.split(shown(capsys, *name, "--help").splitlines()[-1])[1:]
    for word in [word for word in example if word.startswith("configs/")]:
        assert (ROOT / word).is_file(), word
    room = importlib.import_module(f"{SUBCOMMANDS[name[0]].room}.__main__")
    monkeypatch.setattr(room, "exit_code", lambda *_, **__: 17)  # parsed, and nothing is done
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    assert main(example) == 17


@pytest.mark.parametrize("name", ["train", "fit", "validate", "test"])
def test_examples_of_anomalibs_command_line_name_a_config_that_is_there(
    name: str, capsys: pytest.CaptureFixture
) -> None:
    text = shown(capsys, name, "--help")
    config = text.splitlines()[-1].split("--config ")[1].split()[0]
    assert (ROOT / config).is_file()
    assert "--print_config" in text
    assert "--help-all" in text
    assert "anomalib.readthedocs.io" not in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "workbench: error: there is no subcommand 'trian'; did you mean train?"),
        (["refinement"], "workbench: error: there is no subcommand 'refinement'; did you mean refine?"),
        (["xyz"], "workbench: error: there is no subcommand 'xyz'; expected one of run, tune, table,"),
        (["pretrain", "exprot"], "workbench pretrain: error: there is no subcommand 'exprot'; did you mean export?"),
        (["backbones", "lst"], "workbench backbones: error: there is no subcommand 'lst'; did you mean list?"),
    ],
)
def test_a_misspelt_subcommand_gets_the_right_one(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "workbench run: error: the following arguments are required: --config"),
        (["refine", "--confg", "a"], "workbench refine: error: "),
        (["pretrain"], "workbench pretrain fit: error: the following arguments are required: --config"),
        (["export", "--output", "o"], "workbench export: error: one of the arguments --checkpoint --run is required"),
    ],
)
def test_errors_of_the_command_line_name_the_command_as_it_was_called(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert told in capsys.readouterr().err


def test_nothing_asked_for_shows_the_table_and_is_an_error(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 2
    assert "compare detectors:" in capsys.readouterr().out


def test_backbones_lists_them(capsys: pytest.CaptureFixture) -> None:
    assert '"name"' in shown(capsys, "backbones", "--json")


def test_an_error_is_the_one_of_the_rooms_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["table", "--output", str(tmp_path)]) == 1
    assert f"error: {tmp_path}: no folder 'runs' in it" in capsys.readouterr().err
