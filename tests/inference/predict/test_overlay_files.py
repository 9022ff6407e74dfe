"""Names of overlays, and which files of an earlier run go."""

import csv

import cv2
import numpy as np
import pytest

from inference.predict.overlay_files import is_marked, marked, overlay_names, remove_earlier
from inference.predict.sinks import COLUMNS, COLUMNS_BEFORE

TABLES = (COLUMNS, COLUMNS_BEFORE)

PNG = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["a/x.jpg", "y.png"], ["a/x.png", "y.png"]),
        (["x.jpg", "x.png"], ["x-jpg.png", "x.png"]),
        (["x.bmp", "x.jpg"], ["x-bmp.png", "x-jpg.png"]),
        (["x-jpg.png", "x.jpg", "x.png"], ["x-jpg.png", "x-jpg-2.png", "x.png"]),
        (["x.jpg.png", "x.jpg"], ["x.jpg.png", "x.png"]),
        (["a/x.jpg", "b/x.jpg"], ["a/x.png", "b/x.png"]),
        (["x.PNG", "x.png"], ["x-PNG.png", "x.png"]),
        (["ends.in.dots.tif"], ["ends.in.dots.png"]),
    ],
)
def test_overlays_are_called_after_their_images_and_never_share_a_name(images, expected):
    for given in (images, images[::-1]):
        found = overlay_names(given)
        assert [found[name] for name in images] == expected
        assert len(set(found.values())) == len(images)


def test_a_mark_leaves_the_image_as_it_is(tmp_path):
    (tmp_path / "plain.png").write_bytes(PNG)
    (tmp_path / "ours.png").write_bytes(marked(PNG))
    (tmp_path / "short.png").write_bytes(b"\x89PNG")
    assert np.array_equal(cv2.imread(str(tmp_path / "ours.png")), cv2.imread(str(tmp_path / "plain.png")))
    assert [is_marked(tmp_path / f"{name}.png") for name in ("ours", "plain", "short", "none")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_only_what_an_earlier_run_wrote_goes(tmp_path):
    files = {
        "overlays/a/x.png": marked(PNG),
        "overlays/b/mine.png": PNG,
        "overlays/old.png.png": PNG,  # of before there was a mark, named after a row
        "overlays/notes.txt": b"mine",
        "annotated.mp4": b"mine",
        "notes.csv": b"mine",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, ["old.png", *[""] * 7], ["../notes.csv", *[""] * 7]])
    remove_earlier(tmp_path, table="predictions.csv", columns=TABLES)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"overlays/b/mine.png", "overlays/notes.txt", "annotated.mp4", "notes.csv"}
    assert not (tmp_path / "overlays/a").exists()


@pytest.mark.parametrize("columns", TABLES)
def test_a_video_goes_with_the_table_of_its_frames_of_before_verdicts_too(columns, tmp_path):
    (tmp_path / "annotated.mp4").write_bytes(b"")
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, ["line.mp4#000000", *[""] * (len(columns) - 1)]])
    remove_earlier(tmp_path, table="predictions.csv", columns=TABLES)
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_the_users_stays(tmp_path):
    (tmp_path / "predictions.csv").write_text("image,mine\na.png,1\n")
    remove_earlier(tmp_path, table="predictions.csv", columns=TABLES)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
