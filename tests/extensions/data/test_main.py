"""`python -m extensions.data`, as a user runs it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from extensions.data.__main__ import main

CONFIGS = Path(__file__).parents[3] / "configs" / "data"


@pytest.fixture
def config(product: Path) -> Path:
    path = product.parent / "data.yaml"
    arguments = {"name": "product", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad"}
    data = {"class_path": "extensions.Folder", "init_args": {**arguments, "mask_dir": "masks"}}
    path.write_text(yaml.safe_dump({"data": data}))
    return path


def test_check_prints_counts_or_all_problems(config: Path, product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    said = capsys.readouterr().out
    assert "dent 2, scratch 3" in said
    n_images = len(list((product / "good").glob("*"))) + 5
    assert said.splitlines()[-1].startswith(f"no problems that stop a run in {n_images} images; next")
    assert f"sheet --config {config} --output sheet.png" in said.splitlines()[-1]
    (product / "good" / "000.png").write_bytes(b"")
    (product / "masks" / "dent" / "000_mask.png").unlink()
    assert main(["check", "--config", str(config)]) == 1
    problems = capsys.readouterr().err
    assert "good/000.png" in problems
    assert "bad/dent/000.png" in problems


def test_check_lists_what_few_shot_trains_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config), "--set", "data.init_args.k_shot=2", "data.init_args.seed=1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  k_shot")]
    assert line.count("good/") == 2


def test_check_stops_where_nothing_is_left_to_train_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["data.init_args.val_split_mode=from_train", "data.init_args.val_split_ratio=0.99"]
    assert main(["check", "--config", str(config), "--set", *settings]) == 1
    assert "no training images" in capsys.readouterr().err


def test_an_interrupted_check_is_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, *, seed: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("extensions.data.datamodules.stock.set_up", interrupted)
    assert main(["check", "--config", str(config)]) == 130
    assert capsys.readouterr().err.splitlines() == ["interrupted"]


def test_relative_roots_start_at_the_data_root(config: Path, product: Path) -> None:
    settings = ["--set", f"data.init_args.root={product.name}", "--data-root", str(product.parent)]
    assert main(["check", "--config", str(config), *settings]) == 0
    assert "WORKBENCH_DATA" not in os.environ
    assert main(["check", "--config", str(config), *settings[:2]]) == 1  # what one call is told another is not


def test_sheet_shows_images_beside_their_masks(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "sheet.png"
    assert main(["sheet", "--config", str(config), "--output", str(output), "--n", "4"]) == 0
    with Image.open(output) as sheet:
        assert sheet.width > 4 * 2 * 224
    assert [path.name for path in output.parent.iterdir()] == ["sheet.png"]


def test_a_config_without_data_or_a_wrong_image_format_is_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.yaml").write_text("model: {}\n")
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 1
    assert main(["sheet", "--config", str(config), "--output", str(tmp_path / "sheet.xyz")]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2
    assert "no `data:` section" in errors[0]
    assert ".xyz" in errors[1]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_builds_its_datamodule(path: Path) -> None:
    from extensions.configuration import instantiate_data, load_config

    assert instantiate_data(load_config(path)["data"]).name


@pytest.fixture
def benchmark_config(config: Path, product: Path, tmp_path: Path) -> Path:
    """A benchmark over two data sets: a file named in it, and a grid over two shares of held-out images."""
    arguments = {"name": "other", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad"}
    shares = {"test_split_ratio": {"grid": [0.25, 0.5]}}
    path = tmp_path / "grid.yaml"
    data = [{"config": str(config)}, {"class_path": "extensions.Folder", "init_args": {**arguments, **shares}}]
    path.write_text(yaml.safe_dump({"models": [{"class_path": "extensions.Padim"}], "data": data, "seeds": [0, 1]}))
    return path


def test_check_reads_a_benchmarks_list_and_its_grid(
    benchmark_config: Path, product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--config", str(benchmark_config)]) == 0
    told = capsys.readouterr().out
    assert told.count("data set product\n") == 1  # both seeds split alike
    assert told.count("data set other\n") == 2
    assert re.search(r"no problems that stop a run in \d+ images of 3 data sets", told.splitlines()[-1])
    assert len({line for line in told.splitlines() if "n_test_normal" in line}) >= 2
    (product / "good" / "000.png").write_bytes(b"")
    assert main(["check", "--config", str(benchmark_config)]) == 1
    problems = capsys.readouterr().err
    assert "data set 'product'" in problems
    assert "data set 'other'" in problems


def test_check_draws_with_each_seed_of_the_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["data.init_args.k_shot=2", "seeds=[0, 1]"]
    assert main(["check", "--config", str(config), "--set", *settings]) == 0
    drawn = {line for line in capsys.readouterr().out.splitlines() if line.startswith("  k_shot")}
    assert len(drawn) == 2


def test_check_reads_configs_of_pretraining_and_probes(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretraining, probe = tmp_path / "fit.yaml", tmp_path / "probe.yaml"
    data = {"class_path": "extensions.self_supervised.ImageFolders", "init_args": {"folders": [str(product / "bad")]}}
    pretraining.write_text(yaml.safe_dump({"model": {"class_path": "extensions.self_supervised.SimCLR"}, "data": data}))
    for split in ("train", "test"):
        (tmp_path / "classes" / split).mkdir(parents=True)
        for kind in ("dent", "scratch"):
            (tmp_path / "classes" / split / kind).symlink_to(product / "bad" / kind)
    probe.write_text(yaml.safe_dump({"data": {"root": str(tmp_path / "classes")}, "encoders": ["pixels"]}))
    assert main(["check", "--config", str(pretraining)]) == 0
    assert "dent 2, scratch 3" in capsys.readouterr().out
    assert main(["check", "--config", str(probe)]) == 0
    assert "classes           dent, scratch" in capsys.readouterr().out
    for path, remedy in ((pretraining, "views --config"), (probe, "give a config of a detector")):
        assert main(["sheet", "--config", str(path), "--output", str(tmp_path / "sheet.png")]) == 1
        assert remedy in capsys.readouterr().err
    (product / "bad" / "dent" / "000.png").write_bytes(b"")
    assert main(["check", "--config", str(pretraining)]) == 1
    assert "bad/dent/000.png" in capsys.readouterr().err


def test_a_sheet_of_several_data_sets_is_one_file_each(benchmark_config: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    given = ["--config", str(benchmark_config), "--output", str(tmp_path / "new/sheet.png"), "--n", "2"]
    assert main(["sheet", *given]) == 0
    names = ["sheet-other-2.png", "sheet-other.png", "sheet-product.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names


def test_anomalibs_own_datamodule_is_checked_as_the_same_split_each_time(
    product: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "stock.yaml"
    arguments = {"name": "x", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad", "num_workers": 0}
    config.write_text(json.dumps({"data": {"class_path": "anomalib.data.Folder", "init_args": arguments}}))
    assert [main(["check", "--config", str(config)]) for _ in range(2)] == [0, 0]
    first, second = [line for line in capsys.readouterr().out.splitlines() if "sha256" in line]
    assert first == second
