from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from benchmark.records.record import Record
from benchmark.tables.gallery import MAX_IMAGES, gallery
from tests.benchmark.fabricated import as_record, make_record

KINDS = (("missed", 1, 0.5), ("false alarm", 0, 2.5), ("typical good", 0, 0.1), ("typical defective", 1, 2.0))


def record_with(output: Path, *kinds: tuple[str, int, float], suffix: str = "jpg", **changes: Any) -> Record:
    """A record with threshold 1.5 and two panels of each kind."""
    content = make_record(**changes)
    folder = output / content["folder"] / "images"
    folder.mkdir(parents=True)
    content["files"]["images"] = []
    for kind, label, score in kinds:
        for place in range(2):
            panel = f"images/{kind}-{place}.{suffix}"
            Image.new("RGB", (30, 10), "red").save(output / content["folder"] / panel)
            content["files"]["images"].append(
                {"kind": kind, "label": label, "score": score, "image": f"test/{place}.png", "panel": panel}
            )
    return as_record(content)


def test_images_say_what_is_true_and_what_was_decided(tmp_path: Path) -> None:
    record = record_with(tmp_path, *KINDS)
    images = gallery([(1, record)], tmp_path)
    told = [(image.kind, image.truth, image.called) for image in images[::2]]
    assert told == [
        ("missed", "defective", "good"), ("false alarm", "good", "defective"), ("typical good", "good", "good"),
        ("typical defective", "defective", "defective"),
    ]  # fmt: skip
    assert all((tmp_path / image.file).read_bytes() == image.jpeg for image in images)


def test_images_of_earlier_records_still_show(tmp_path: Path) -> None:
    record = record_with(tmp_path, ("worst", 1, 0.5), ("best", 0, 0.1), suffix="png")
    images = gallery([(1, record)], tmp_path)
    assert [image.kind for image in images] == ["worst", "worst", "best", "best"]
    assert all(image.jpeg.startswith(b"\xff\xd8") for image in images)


def test_what_a_new_threshold_makes_right_is_not_called_wrong(tmp_path: Path) -> None:
    record = record_with(tmp_path, *KINDS)
    moved = record.thresholds.model_copy(update={"image": 0.4})
    images = gallery([(1, record.model_copy(update={"thresholds": moved}))], tmp_path)
    assert {image.kind for image in images} == {"false alarm", "typical good", "typical defective"}


def test_between_two_thresholds_an_image_is_unsure(tmp_path: Path) -> None:
    record = record_with(tmp_path, *KINDS)
    band = record.thresholds.model_copy(update={"image": 0.4, "upper": 2.2})
    images = gallery([(1, record.model_copy(update={"thresholds": band}))], tmp_path)
    assert [(image.kind, image.called) for image in images[::2]] == [
        ("false alarm", "defective"), ("typical good", "good"), ("typical defective", "unsure"),
    ]  # fmt: skip


def test_where_there_are_too_many_each_category_shows_some_of_the_best_model(tmp_path: Path) -> None:
    leading = [
        (rank, record_with(tmp_path, *KINDS, model=f"M{rank}", category=f"c{number:02}"))
        for rank in (1, 2, 3)
        for number in range(15)
    ]
    images = gallery(leading, tmp_path)
    assert len(images) == MAX_IMAGES
    assert {(image.category, image.rank) for image in images} == {(f"c{number:02}", 1) for number in range(15)}


def test_a_panel_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    record = record_with(tmp_path, KINDS[0])
    file = tmp_path / record.folder / "images/missed-0.jpg"
    file.write_bytes(file.read_bytes()[:300])
    assert len(gallery([(1, record)], tmp_path)) == 1
