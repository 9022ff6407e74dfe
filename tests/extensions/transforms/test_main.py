"""The command that shows the augmentations."""

import numpy as np
import pytest
from PIL import Image

from extensions.transforms import NAMES
from extensions.transforms.__main__ import main


def test_a_sheet_shows_every_augmentation_of_every_image(tiny_root, tmp_path, capsys):
    sheet = tmp_path / "new" / "sheet.png"
    folder = tiny_root / "test" / "bad"
    assert (
        main(["show", "--input", str(folder), "--output", str(sheet), "--size", "48", "--n", "2", "--views", "3"]) == 0
    )
    assert capsys.readouterr().out == f"2 images and their views: open {sheet}\n"
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (18 + 2 * 3 * 52, len(NAMES) * 52, 3)
    first = pixels[18 : 18 + 48, :48].astype(float)
    expected = np.asarray(Image.open(folder / "000.png").resize((48, 48), Image.Resampling.BILINEAR), float)
    assert np.abs(first - expected).mean() < 3
    assert np.abs(first - pixels[18 : 18 + 48, 52:100]).mean() > 3  # random_crop


def test_one_image_is_a_sheet_too(tiny_root, tmp_path):
    image = tiny_root / "test" / "bad" / "000.png"
    assert main(["show", "--input", str(image), "--output", str(tmp_path / "one.jpg"), "--size", "32"]) == 0
    assert Image.open(tmp_path / "one.jpg").size == (len(NAMES) * 36, 18 + 4 * 36)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--input", "nowhere", "--output", "a.png"], "nowhere: no image found there"),
        (["--input", ".", "--output", "a.txt"], "found the ending '.txt', expected .png or .jpg"),
        (["--input", ".", "--output", "a.png", "--views", "0"], "--views: found 0, expected a whole number from 1"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(arguments, sentence, capsys):
    assert main(["show", *arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
