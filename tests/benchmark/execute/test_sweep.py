"""A test set without anomalous images: what the tables and the line of the run say."""

from pathlib import Path

from benchmark.api.output_tables import write_tables
from benchmark.execute.sweep import describe, run_sweep
from benchmark.one_run.options import RunOptions
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from tests.benchmark.fabricated import COUNTS, make_record, tables_of

METRICS = dict.fromkeys(("image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score"))


def result(*records) -> list[str]:
    about = tables_of(records).about
    return about.loc[about["section"] == "Result", "value"].tolist()


def lacking(kind: str, **changes) -> dict:
    record = make_record(metrics=METRICS, **changes)
    record["dataset"] |= COUNTS | {f"n_test_{kind}": 0}
    return record


def test_it_is_said_with_the_remedy_and_not_that_nothing_finished():
    (text,) = result(lacking("anomalous"), lacking("anomalous", model="Padim"))
    assert "nothing to test with: no anomalous test images (200 training images; test 100 normal, 0 anomalous)" in text
    assert "abnormal_dir" in text
    assert "test_split_mode: synthetic" in text
    assert tables_of([lacking("anomalous")]).leaderboard["status"].tolist() == ["1 of 1 runs, no anomalous test images"]


def test_the_sibling_without_good_test_images_is_told_too():
    (text,) = result(lacking("normal"))
    assert "no normal test images" in text
    assert "normal_test_dir" in text


def test_what_failed_is_still_said_to_have_failed():
    assert result(make_record(status="failed")) == ["No detector has all of its runs finished and converged yet."]


def test_a_folder_of_good_images_alone_is_trained_on_and_the_page_says_what_is_missing(tiny_root: Path, tmp_path: Path):
    data = {"name": "good", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good"}
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 5}
    one = Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data | {"num_workers": 0}},
    )
    assert run_sweep([one], tmp_path, options=RunOptions(progress=False)) == {"finished": 1}
    write_tables(tmp_path)
    page = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert "nothing to test with: no anomalous test images" in page
    assert "No detector has all" not in page
    (record,) = read_records(tmp_path)
    assert "no anomalous test images" in describe(one, record)
    assert record.speed.latency_session is not None
