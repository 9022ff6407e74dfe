"""Run-length codes, against codes made by hand and pycocotools' own."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from extensions.data.errors import Kind
from extensions.data.labels.run_length import read_run_length


def counts_by_hand(marks: np.ndarray) -> list[int]:
    """Lengths of 0 and 1 in turn, down the columns, the first of them 0."""
    counts, value = [0], False
    for pixel in marks.T.ravel():
        if pixel != value:
            counts.append(0)
            value = not value
        counts[-1] += 1
    return counts


def some_marks(seed: int, shape: tuple[int, int]) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((shape[0] // 10 + 1, shape[1] // 10 + 1)) > 0.5
    return np.kron(coarse, np.ones((10, 10)))[: shape[0], : shape[1]].astype(bool)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(30, 40), (700, 300), (1, 9)])
def test_plain_and_compressed_codes_give_the_same_pixels(seed: int, shape: tuple[int, int]) -> None:
    marks = some_marks(seed, shape)
    code = coco_mask.encode(np.asfortranarray(marks, np.uint8))
    assert np.array_equal(coco_mask.decode(code), marks)
    plain = read_run_length({"size": list(shape), "counts": counts_by_hand(marks)})
    compressed = read_run_length({"size": list(shape), "counts": code["counts"].decode()})
    assert plain == compressed
    np.testing.assert_array_equal(plain.draw(shape[::-1]), marks)


def test_an_empty_and_a_full_code_are_read() -> None:
    assert not read_run_length({"size": [3, 4], "counts": [12]}).draw((4, 3)).any()
    assert read_run_length({"size": [3, 4], "counts": [0, 12]}).draw((4, 3)).all()
    assert read_run_length({"size": [3, 4], "counts": "<"}).counts == (12,)  # "<" is 12 places after "0"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ({"size": [3, 4], "counts": [5, 8]}, "add up to 13 px, expected 3 x 4 = 12"),
        ({"size": [3, 4], "counts": [5, 8, -1]}, "whole numbers from 0 on"),
        ({"size": [3, 4], "counts": [5.5, 6.5]}, "whole numbers from 0 on"),
        ({"size": [3, 4]}, "whole numbers from 0 on"),
        ({"size": 12, "counts": [12]}, r"size is 12, expected \[height, width\]"),
        ({"size": [0, 4], "counts": [0]}, "expected"),
        ({"size": [3, 4], "counts": "abc!"}, "'!'"),
        ({"size": [3, 4], "counts": "ü"}, "which no compressed code has"),
        ({"size": [3, 4], "counts": "l"}, "in the middle of a number"),
        ({"size": [3, 4], "counts": "o" * 400}, "which no compressed code has there"),
    ],
)
def test_a_corrupt_code_says_why(code: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_run_length(code)


def test_a_cut_code_is_never_decoded() -> None:
    marks = some_marks(1, (700, 300))
    text = coco_mask.encode(np.asfortranarray(marks, np.uint8))["counts"].decode()
    for length in range(1, len(text), len(text) // 40):
        with pytest.raises(ValueError, match=r"add up to|middle|whole numbers"):
            read_run_length({"size": [700, 300], "counts": text[:length]})


def test_another_size_than_the_images_is_a_misfit() -> None:
    code = read_run_length({"size": [3, 4], "counts": [12]})
    assert code.misfit((4, 3)) is None
    assert code.misfit((3, 4)) == (Kind.RUNS_SIZE, "4x3 for an image of 3x4")
