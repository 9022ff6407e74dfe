"""What the tables say of augmentations, from made-up records with numbers that can be worked out by hand."""

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image

from benchmark.api.output_tables import write_tables
from benchmark.report.plots import plot_augmentation
from benchmark.tables.augmentation_frames import AUGMENTATION
from tests.benchmark.fabricated import augmentation_of, make_record, tables_of, write

SEEDS = (0, 1, 2)


def augmented(values, *parts, base=0.0, **changes):
    """Records of seeds 0, 1, … with these image AUROCs."""
    records = []
    for seed, value in enumerate(values):
        metrics = {"image_AUROC": value, "pixel_AUROC": None}
        told = " + ".join(f"{part['name']} ({part['where']})" for part in parts)
        record = make_record(seed=seed, metrics=metrics, **changes)
        if parts:
            record["experiment"]["augmentation"] = list(parts)
            record["settings"] = f"augmentation={told}"
            record["experiment_id"] = record["key"] = f"{told}{seed}{changes.get('model', '')}"
            record["folder"] = f"runs/{told}{seed}{changes.get('model', '')}".replace(" ", "")
        records.append(record)
    return records


PLAIN = (0.90, 0.92, 0.94)
TURNED = {"name": "rotation", "where": "train"}
FLIPPED = {"name": "flip", "where": "tta", "n_views": 4, "merge": "mean"}


@pytest.fixture
def records():
    return [
        *augmented(PLAIN),
        *augmented((0.95, 0.97, 0.98), TURNED),
        *augmented((0.91, 0.90, 0.95), FLIPPED),
        *augmented((0.80, 0.81, 0.85), TURNED, FLIPPED),
        *augmented((0.80, 0.80, 0.80), model="Padim"),
    ]


def test_changes_are_paired_by_seed_and_held_against_their_spread(records):
    frame = augmentation_of(records)
    assert list(frame.columns) == list(AUGMENTATION)
    assert frame["augmentation"].tolist() == ["identity", "flip", "rotation", "rotation + flip"]
    assert frame["where"].tolist() == ["", "tta", "train", "train + tta"]
    assert set(frame["detector"]) == {"Patchcore resnet18, 256 px"}
    rows = frame.set_index("augmentation")
    changes = np.array([0.05, 0.05, 0.04])
    assert rows["image_AUROC"]["rotation"] == pytest.approx(np.mean([0.95, 0.97, 0.98]))
    assert rows["image_AUROC_std"]["rotation"] == pytest.approx(np.std([0.95, 0.97, 0.98], ddof=1))
    assert rows["image_AUROC_change"]["rotation"] == pytest.approx(changes.mean())
    assert rows["image_AUROC_change_std"]["rotation"] == pytest.approx(changes.std(ddof=1))
    assert rows["image_AUROC_beyond"][["rotation", "flip", "rotation + flip"]].tolist() == ["better", "no", "worse"]
    assert rows["n_views"]["flip"] == 4
    assert pd.isna(rows["image_AUROC_change"]["identity"])
    assert pd.isna(rows["pixel_AUROC_change"]["rotation"])


def test_a_single_seed_is_never_marked_and_unpaired_seeds_do_not_count():
    single = augmentation_of([*augmented(PLAIN[:1]), *augmented((0.99,), TURNED)]).set_index("augmentation")
    assert single["image_AUROC_change"]["rotation"] == pytest.approx(0.09)
    assert pd.isna(single["image_AUROC_beyond"]["rotation"])
    assert pd.isna(single["image_AUROC_change_std"]["rotation"])
    partly = augmentation_of([*augmented(PLAIN[:2]), *augmented((0.91, 0.94, 0.10), TURNED)])
    assert partly.set_index("augmentation")["image_AUROC_change"]["rotation"] == pytest.approx(0.015)
    without = augmentation_of(augmented((0.91, 0.94), TURNED))
    assert without["image_AUROC_change"].isna().all()


def test_nothing_augmented_is_no_sheet_and_other_data_are_no_comparison():
    assert augmentation_of(augmented(PLAIN)).empty
    other = augmented(PLAIN, data_arguments={"k_shot": 4})
    frame = augmentation_of([*other, *augmented((0.95, 0.97, 0.98), TURNED)])
    assert frame["augmentation"].tolist() == ["rotation"]
    assert frame["image_AUROC_change"].isna().all()


def test_failed_and_older_runs_do_not_count(records):
    failed = augmented((0.1,), TURNED, status="failed")
    older = [record | {"started": "2025-01-01"} for record in augmented((0.1, 0.1, 0.1), FLIPPED)]
    pd.testing.assert_frame_equal(augmentation_of([*records, *failed, *older]), augmentation_of(records))


def test_a_detector_whose_runs_had_not_converged_is_said_to(records):
    frame = augmentation_of([*augmented(PLAIN), *augmented((0.9, 0.9), TURNED, converged=False)])
    assert frame["status"].tolist() == ["3 runs", "2 runs, 2 not converged"]


def test_rows_with_another_augmentation_are_other_rows_of_the_leaderboard(records):
    leaderboard = tables_of(records).leaderboard
    assert len(leaderboard) == 5
    assert leaderboard["n_seeds"].tolist() == [3] * 5
    assert sum("rotation" in settings for settings in leaderboard["settings"]) == 2


def test_the_sheet_the_page_and_the_plot_show_it(records, tmp_path):
    written = {path.name for path in write_tables(write(tmp_path, records))}
    assert {"augmentation_image_AUROC.png", "leaderboard.xlsx"} <= written
    assert "augmentation_pixel_AUROC.png" not in written
    sheet = openpyxl.load_workbook(tmp_path / "leaderboard.xlsx")["Augmentation"]
    head = [cell.value for cell in sheet[1]]
    rows = [dict(zip(head, (cell.value for cell in row), strict=True)) for row in sheet.iter_rows(min_row=2)]
    assert [row["Augmentation"] for row in rows] == ["identity", "flip", "rotation", "rotation + flip"]
    assert rows[2]["Image AUROC change"] == pytest.approx(0.14 / 3)
    assert [cell.value for cell in sheet["M"]].count("better") == 1
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert "<h2>Augmentation</h2>" in page
    assert ">+0.0467<" in page
    assert "data:image/svg+xml;base64," in page
    with Image.open(tmp_path / "augmentation_image_AUROC.png") as plot:
        assert plot.width > 500


def test_without_a_comparison_there_is_nothing_to_plot(tmp_path):
    with pytest.raises(ValueError, match="nothing to plot"):
        plot_augmentation(augmentation_of(augmented((0.9,), TURNED)), tmp_path / "plot.png")
