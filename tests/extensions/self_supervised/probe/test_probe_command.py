"""The probe command on tiny images: its table, and what happens when it is stopped and run again."""

import argparse
import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from extensions.configuration import ConfigError
from extensions.runtime.command import exit_code
from extensions.self_supervised.probe import probe_command, probe_encoders
from extensions.self_supervised.probe.probe_settings import probe_settings
from extensions.self_supervised.probe.probe_table import COLUMNS

ENCODERS = ["pixels", {"backbone": "resnet18", "pre_trained": False, "layers": ["layer3", "layer4"]}]


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """Folder with shades/train (6 a class) and shades/test (3 a class) of dark, grey and bright noise, 16 px."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, value in (("bright", 200), ("dark", 30), ("grey", 110)):
        for split, count in (("train", 6), ("test", 3)):
            (root / "shades" / split / kind).mkdir(parents=True)
            for index in range(count):
                image = rng.normal(value, 10, (16, 16, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(image).save(root / "shades" / split / kind / f"{index}.png")
    return root


@pytest.fixture
def command(shades, tmp_path):
    """Run the command; its exit code."""

    def run(*arguments, encoders=ENCODERS):
        config = tmp_path / "probe.yaml"
        config.write_text(yaml.safe_dump({"data": {"root": "shades"}, "image_size": 32, "encoders": encoders}))
        parser = argparse.ArgumentParser()
        probe_command.add_arguments(parser)
        places = ["--config", str(config), "--output", str(tmp_path / "out"), "--data-root", str(shades)]
        options = parser.parse_args([*places, *arguments])
        return exit_code(lambda: probe_command.run(options))

    return run


@pytest.fixture
def probed(monkeypatch):
    """The backbones and layers whose features were computed."""
    seen = []
    compute = probe_encoders.pooled_features

    def counting(encoder, layers, *rest, **named):
        seen.append((encoder.backbone, *layers))
        return compute(encoder, layers, *rest, **named)

    monkeypatch.setattr(probe_encoders, "pooled_features", counting)
    return seen


def table(tmp_path):
    with (tmp_path / "out/probe.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_each_encoder_and_layer_has_a_row(command, tmp_path, capsys):
    assert command() == 0
    pixels, layer3, _ = rows = table(tmp_path)
    assert list(pixels) == list(COLUMNS)
    assert [(row["backbone"], row["layer"], row["n_features"]) for row in rows] == [
        ("pixels", "16x16", "768"), ("resnet18", "layer3", "256"), ("resnet18", "layer4", "512"),
    ]  # fmt: skip
    assert [row["weights"] for row in rows] == ["pixels", "random", "random"]
    assert (pixels["top1"], pixels["top1_se"], pixels["top5"]) == ("1.0", "0.0", "")
    assert float(layer3["knn_top1"]) > 0.5
    assert {(row["data"], row["n_train"], row["n_test"], row["n_classes"]) for row in rows} == {
        ("shades", "18", "9", "3")
    }
    assert float(layer3["chance"]) == pytest.approx(1 / 3)
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split()[:4] == ["shades", "pixels", "16x16", "pixels"]
    assert shown[-1] == f"3 rows, best pixels 16x16 (100.0% right): open {tmp_path / 'out/probe.csv'}"


def test_rows_that_are_there_are_not_computed_again(command, tmp_path, probed):
    command()
    first = table(tmp_path)
    assert command() == 0
    assert table(tmp_path) == first
    assert probed == [("pixels", "16x16"), ("resnet18", "layer3", "layer4")]


def test_a_stopped_command_goes_on_with_what_is_missing(command, tmp_path, probed, monkeypatch):
    command()
    whole = table(tmp_path)
    (tmp_path / "out/probe.csv").unlink()
    probed.clear()
    make = probe_command._row

    def stopped(encoder, layer, *rest):
        if layer == "layer4":
            raise KeyboardInterrupt
        return make(encoder, layer, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(probe_command, "_row", stopped)
        assert command() == 130
    assert [row["layer"] for row in table(tmp_path)] == ["16x16", "layer3"]
    assert command() == 0
    assert probed[-1] == ("resnet18", "layer4")
    assert timeless(table(tmp_path)) == timeless(whole)


def test_rows_of_other_settings_stay_behind_those_of_the_config(command, tmp_path):
    command(encoders=["pixels"])
    command("--set", "seed=3", encoders=[ENCODERS[1], "pixels"])
    rows = [(row["seed"], row["backbone"]) for row in table(tmp_path)]
    assert rows == [("3", "resnet18"), ("3", "resnet18"), ("3", "pixels"), ("0", "pixels")]


def test_changed_images_are_probed_again(command, tmp_path, shades, probed):
    command(encoders=["pixels"])
    more = shades / "shades/train/dark/more.png"
    Image.fromarray(np.full((16, 16, 3), 31, np.uint8)).save(more)
    try:
        command(encoders=["pixels"])
    finally:
        more.unlink()
    assert [row["n_train"] for row in table(tmp_path)] == ["19", "18"]
    assert len(probed) == 2


def test_another_file_in_the_place_of_the_table_is_left_alone(command, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/probe.csv").write_text("mine,yours\n1,2\n")
    assert command() == 1
    assert "probe.csv: found mine,yours; expected the columns data," in capsys.readouterr().err
    assert (tmp_path / "out/probe.csv").read_text() == "mine,yours\n1,2\n"


def test_an_error_names_what_is_wrong_in_one_line(command, capsys):
    assert command("--set", "data.root=nowhere") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nowhere/train; expected train/<class>/<image>" in error
    assert command(encoders=["resnet81"]) == 1
    assert "nearest: resnet18" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "encoders: expected a list such as"),
        ({"encoders": []}, "encoders: expected a list such as"),
        ({"encoders": ["pixels"]}, "data: expected a mapping with 'root'"),
        ({"encoders": ["pixels"], "data": {"rot": "a"}}, "did you mean root"),
        ({"encoders": ["pixels"], "data": {"root": "a", "layuot": "b"}}, "did you mean layout"),
        ({"encoders": [{"layers": ["a"]}], "data": {"root": "a"}}, "encoders.0: expected a mapping with 'backbone'"),
        ({"encoders": [{"backbone": "a", "pre_trained": "no"}], "data": {"root": "a"}}, "expected true or false"),
        ({"encoders": ["a"], "data": {"root": "a"}, "image_size": 0}, "image_size: expected a whole number from 1"),
        ({"encoders": ["a"], "data": {"root": "a"}, "seed": True}, "seed: expected a whole number from 0"),
        ({"encoders": ["a"], "data": {"root": "a"}, "sede": 1}, "unknown key 'sede'; did you mean seed"),
    ],
)
def test_configs_that_cannot_be_are_refused(config, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        probe_settings(config, tmp_path / "mine.yaml")
    assert str(caught.value).startswith(str(tmp_path / "mine.yaml"))


def test_a_layer_may_stand_alone(tmp_path):
    config = {"encoders": [{"backbone": "resnet18", "layers": "layer3"}], "data": {"root": "a"}}
    assert probe_settings(config, tmp_path).encoders == ({"backbone": "resnet18", "layers": ["layer3"]},)


def test_the_command_is_known_without_torch():
    code = "import sys; from extensions.self_supervised.probe import probe_command; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "sklearn", "pandas", "numpy"} & set(modules)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:-45] + b"\n", "line 2: damaged in .*key"),
        (lambda text: text.replace(b",1.0,", b",nan,", 1), "line 2: damaged in top1"),
        (lambda text: text.replace(b",1.0,", b",good,", 1), "line 2: damaged in top1"),
        (lambda text: text[:-1] + b",x\n", "line 2: damaged in a cell too many"),
        (lambda text: text + b"\xff\xfe\0", "no UTF-8"),
    ],
)
def test_a_damaged_table_is_named_and_left_alone(command, tmp_path, capsys, damage, told):
    command(encoders=["pixels"])
    path = tmp_path / "out/probe.csv"
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    capsys.readouterr()
    assert command(encoders=["pixels"]) == 1
    assert re.search(rf"{re.escape(str(path))}.*{told}.*move it away", capsys.readouterr().err)
    assert path.read_bytes() == before


def test_a_data_set_of_another_name_is_called_by_it(command, tmp_path, probed):
    command(encoders=["pixels"])
    command("--set", "data.name=renamed", encoders=["pixels"])
    assert [row["data"] for row in table(tmp_path)] == ["renamed"]
    assert len(probed) == 1


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ({"backbone": "deit_tiny_patch16_224", "pre_trained": False}, "deit_tiny_patch16_224.*32 px.*image_size"),
        ({"backbone": "Pixel"}, "did you mean 'pixels'"),
        ({"backbone": "pixels", "pre_trained": False}, "neither layers nor weights"),
    ],
)
def test_an_encoder_that_cannot_be_is_one_line(command, capsys, encoder, told):
    assert command(encoders=[encoder]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(told, error)


def test_a_transformer_is_probed_at_its_size(command, tmp_path):
    vit = {"backbone": "deit_tiny_patch16_224", "pre_trained": False}
    assert command("--set", "image_size=224", encoders=[vit]) == 0
    assert table(tmp_path)[0]["n_features"] == "192"
