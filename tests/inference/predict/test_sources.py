"""Which images an input folder holds."""

import logging

import pytest
from PIL import Image

from extensions.data.reading.files import list_images
from inference.predict.sources import list_source_images, open_source


@pytest.fixture
def given(tmp_path):
    """Two images, a thumbnail that a file server left, a hidden one, a mask beside an image, and a GIF."""
    noise = Image.effect_noise((32, 32), 80)
    for name in ("a.png", "b/c.jfif", "@eaDir/a.png", ".thumbs/a.png", "d.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise.save(tmp_path / name, format={"gif": "GIF", "jfif": "JPEG"}.get(name.rpartition(".")[2], "PNG"))
    return tmp_path


def test_a_folder_is_listed_as_for_training(given):
    assert list_source_images(given) == list_images(given) == [given / "a.png", given / "b/c.jfif"]
    assert [item.name for item in open_source(str(given)).items] == ["a.png", "b/c.jfif"]


def test_files_of_other_endings_and_masks_are_told(given, caplog):
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 4, 9, 9))
    mask.save(given / "a_mask.png")
    with caplog.at_level(logging.WARNING):
        assert len(list_source_images(given)) == 3
    assert "d.gif (1 ending in .gif)" in caplog.text
    assert "mask beside its image, where it would count as an image (1): a_mask.png" in caplog.text
