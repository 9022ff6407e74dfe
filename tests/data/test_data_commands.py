"""`python -m extensions.data`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from PIL import Image

from extensions.data.__main__ import main

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


@pytest.fixture
def config(product: Path) -> Path:
    path = product.parent / "data.yaml"
    arguments = {"name": "product", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad"}
    data = {"class_path": "extensions.Folder", "init_args": {**arguments, "mask_dir": "masks"}}
    path.write_text(yaml.safe_dump({"data": data}))
    return path


def test_check_prints_counts_or_all_problems(config: Path, product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert "dent 2, scratch 3" in capsys.readouterr().out
    (product / "good" / "000.png").write_bytes(b"")
    (product / "masks" / "dent" / "000_mask.png").unlink()
    assert main(["check", "--config", str(config)]) == 1
    problems = capsys.readouterr().err
    assert "good/000.png" in problems
    assert "bad/dent/000.png" in problems


def test_sheet_shows_pictures_beside_their_masks(config: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "sheet.png"
    assert main(["sheet", "--config", str(config), "--output", str(output), "--n", "4"]) == 0
    with Image.open(output) as sheet:
        assert sheet.width > 4 * 2 * 224
    assert [path.name for path in output.parent.iterdir()] == ["sheet.png"]


def test_a_config_without_data_or_a_wrong_picture_format_is_one_line(
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
