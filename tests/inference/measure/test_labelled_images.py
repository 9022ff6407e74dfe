import pytest

from inference.measure.labelled_images import LabelledImages


def test_a_labelled_folder_needs_both_kinds(tiny_root):
    assert LabelledImages.from_folder(tiny_root / "test").is_anomalous.tolist() == [True] * 4 + [False] * 4
    with pytest.raises(ValueError, match="found 0 good and 4 other ones"):
        LabelledImages.from_folder(tiny_root / "test/bad")
