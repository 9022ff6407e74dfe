from __future__ import annotations

import json
import lzma
from pathlib import Path

import pandas as pd
import pytest

from benchmark.__main__ import main
from benchmark.api.output_tables import read_leaderboard, write_tables
from benchmark.api.packing import pack
from benchmark.execute.sweep import drop_other_plans
from benchmark.records.archive import holds_runs, load, read_records
from benchmark.records.packed import RECORDS, read_calibration, read_resamples, read_scores
from benchmark.records.record_file import RecordError
from benchmark.records.store import Store
from tests.benchmark.fabricated import as_record, make_plan, make_record, make_sweep, write, write_probes

SCORES = (
    "image,label,kind,score,fold\n"
    'test/good/0.png,0,,0.1,0\n"test/bad/a, ""b"".png",1,crack,0.30000000000000004,1\ntest/bad/1.png,1,nan,1e-07,0\n'
)
FILES = ["leaderboard.csv", "plans.jsonl", "probe.csv", "records.jsonl", "scores.csv.xz"]


def write_run(output: Path, record: dict, scores: str = SCORES) -> None:
    write(output, [record])
    if record["status"] == "finished":
        (output / record["folder"] / "scores.csv").write_text(scores, encoding="utf-8")


def made() -> list[dict]:
    """Records of a sweep that kept no checkpoint."""
    records = make_sweep()
    for record in records:
        record.get("files", {})["checkpoint"] = None
    return records


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """48 runs, one of which failed, another that was asked for and never ran, and a probe."""
    output, records = tmp_path / "sweep", made()
    for number, record in enumerate(records):
        write_run(output, record, SCORES.replace("0.1", f"0.{number}25"))
    write(output, [], (make_plan(*records, make_record(model="Fastflow")),))
    write_probes(output, [{}])
    return output


def tables(output: Path) -> dict[str, pd.DataFrame]:
    """The sheets of the spreadsheet."""
    write_tables(output, formats=("csv", "xlsx"))
    return pd.read_excel(output / "leaderboard.xlsx", sheet_name=None, header=None)


def test_packed_runs_hold_every_record_score_and_digit_in_few_files(sweep, tmp_path):
    written = pack(sweep, tmp_path / "packed")
    assert sorted(path.name for path in written) == sorted(path.name for path in (tmp_path / "packed").iterdir())
    assert sorted(path.name for path in written) == FILES
    paths = sorted((sweep / "runs").glob("**/record.json"))
    lines = (tmp_path / "packed" / "records.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [json.loads(path.read_text()) for path in paths]
    assert read_records(tmp_path / "packed") == read_records(sweep)
    text = lzma.decompress((tmp_path / "packed" / "scores.csv.xz").read_bytes()).decode()
    rows = []
    for path in paths:
        if (path.parent / "scores.csv").is_file():
            rows += [f"{path.parent.name},{one}" for one in (path.parent / "scores.csv").read_text().splitlines()[1:]]
    assert text.splitlines() == ["run,image,label,kind,score,fold", *rows]
    for record in read_records(sweep):
        if record.is_finished:
            there = pd.read_csv(sweep / record.folder / "scores.csv", keep_default_na=False)
            pd.testing.assert_frame_equal(read_scores(tmp_path / "packed", record), there, check_exact=True)
            pd.testing.assert_frame_equal(read_scores(sweep, record), there, check_exact=True)


def test_images_that_thresholds_were_fitted_on_are_packed_with_their_scores(tmp_path):
    sweep, record = tmp_path / "sweep", made()[0]
    record["files"]["calibration"] = "calibration.csv"
    write_run(sweep, record)
    text = "image,label,kind,score,fold\nlimits/good/0.png,0,good,0.25,-1\nlimits/dent/0.png,1,dent,0.5,-1\n"
    (sweep / record["folder"] / "calibration.csv").write_text(text)
    written = pack(sweep, tmp_path / "packed")
    assert "calibration.csv.xz" in {path.name for path in written}
    for output in (sweep, tmp_path / "packed"):
        (found,) = read_records(output)
        assert read_calibration(output, found).to_csv(index=False) == text
    (tmp_path / "packed" / "calibration.csv.xz").unlink()
    with pytest.raises(RecordError, match=r"calibration\.csv"):
        read_calibration(tmp_path / "packed", found)


def test_tables_of_packed_runs_are_those_of_the_folder(sweep, tmp_path):
    packed = tmp_path / "packed"
    pack(sweep, packed)
    made = (packed / "leaderboard.csv").read_bytes()
    expected, found = tables(sweep), tables(packed)
    assert expected.keys() == found.keys()
    for name, sheet in expected.items():  # commands name the folder that they were written for
        moved = sheet.replace(f"--records {sweep} ", f"--records {packed} ", regex=True)
        pd.testing.assert_frame_equal(found[name], moved, check_exact=True)
    assert (packed / "leaderboard.csv").read_bytes() == made == (sweep / "leaderboard.csv").read_bytes()
    assert "not run" in made.decode()
    pd.testing.assert_frame_equal(read_leaderboard(packed), read_leaderboard(sweep))


def write_resamples(output: Path, record: dict, text: str) -> None:
    """A run of the folder with a table of resamples beside its scores."""
    write_run(output, record | {"files": record["files"] | {"resamples": "resamples.csv"}})
    (output / record["folder"] / "resamples.csv").write_text(text)


def test_resamples_are_packed_beside_the_scores_and_read_alike(sweep, tmp_path):
    runs = [one for one in made() if one["status"] == "finished"][:3]
    write_resamples(sweep, runs[0], "pixel_AUROC,pixel_F1Max\n0.91234,0.5\n0.92345,0.25\n")
    write_resamples(sweep, runs[1], "pixel_AUROC\n0.8\n0.7\n0.6\n")  # without the other metric
    written = pack(sweep, tmp_path / "packed")
    assert sorted(path.name for path in written) == sorted([*FILES, "resamples.csv.xz"])
    text = lzma.decompress((tmp_path / "packed" / "resamples.csv.xz").read_bytes()).decode()
    assert f"{runs[0]['key']},0.91234,0.5\n" in text
    assert f"{runs[1]['key']},0.6,\n" in text
    for output in (sweep, tmp_path / "packed"):
        records = {record.key: record for record in read_records(output)}
        first, second, none = (read_resamples(output, records[one["key"]]) for one in runs)
        assert first.to_dict("list") == {"pixel_AUROC": [0.91234, 0.92345], "pixel_F1Max": [0.5, 0.25]}
        assert second.to_dict("list") == {"pixel_AUROC": [0.8, 0.7, 0.6]}
        assert none.empty
    before = {path.name: path.read_bytes() for path in written}
    pack(tmp_path / "packed", tmp_path / "packed")
    assert {path.name: path.read_bytes() for path in written} == before


@pytest.mark.parametrize("text", [None, "", "pixel_AUROC\n", "pixel_AUROC\n0.5\nhigh\n"])
def test_resamples_that_cannot_be_read_are_one_sentence_and_not_packed(sweep, tmp_path, text):
    run = next(one for one in made() if one["status"] == "finished")
    write_resamples(sweep, run, text or "")
    if text is None:
        (sweep / run["folder"] / "resamples.csv").unlink()
    record = next(one for one in read_records(sweep) if one.key == run["key"])
    with pytest.raises(RecordError, match=r"resamples\.csv.*--overwrite all"):
        read_resamples(sweep, record)
    with pytest.raises(RecordError, match=r"resamples\.csv.*--overwrite all"):
        pack(sweep, tmp_path / "packed")
    assert not list((tmp_path).glob("packed/*"))


def test_runs_beside_packed_ones_count_and_one_of_its_own_folder_wins(sweep, tmp_path):
    packed = tmp_path / "packed"
    pack(sweep, packed)
    again = json.loads(json.dumps(made()[0]))
    again["metrics"]["image_AUROC"] = 0.123
    write_run(packed, again, SCORES.replace("0.1", "0.777"))
    write_run(packed, make_record(model="Fastflow"))
    records = {record.key: record for record in read_records(packed)}
    assert len(records) == len(read_records(packed)) == len(made()) + 1
    assert records[again["key"]].metrics["image_AUROC"] == 0.123
    assert Store(packed).read(records[again["key"]].folder) == records[again["key"]]
    assert read_scores(packed, records[again["key"]])["score"][0] == 0.777
    assert "not run" not in write_tables(packed, formats=("csv",))[0].read_text()
    write(packed, [again])
    (packed / again["folder"] / "scores.csv").unlink()  # as when a packed run was timed again
    assert read_scores(packed, records[again["key"]])["score"][0] == 0.025


def test_a_damaged_record_beside_leaves_the_packed_one(sweep, tmp_path):
    pack(sweep, tmp_path / "packed")
    first = as_record(made()[0])
    (tmp_path / "packed" / first.folder).mkdir(parents=True)
    (tmp_path / "packed" / first.folder / "record.json").write_text("{")
    found = load(tmp_path / "packed")
    assert (len(found.records), len(found.warnings)) == (len(made()), 1)
    assert Store(tmp_path / "packed").read(first.folder) is not None


def test_packing_again_adds_and_does_not_lose_what_finished(sweep, tmp_path):
    packed, other = tmp_path / "packed", tmp_path / "other"
    pack(sweep, packed)
    first = made()[0]
    write_run(other, make_record(model="Fastflow"))
    write(other, [make_record(status="failed") | {"key": first["key"], "folder": first["folder"]}])
    pack(other, packed)
    found = {record.key: record for record in read_records(packed)}
    assert len(found) == len(made()) + 1
    assert found[first["key"]].is_finished
    assert {record.model for record in found.values()} > {"Fastflow"}
    assert all(len(read_scores(packed, record)) == 3 for record in found.values() if record.is_finished)
    assert "not run" not in (packed / "leaderboard.csv").read_text()  # what was asked for has run
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    pack(sweep, packed)
    pack(packed, packed)
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == before


@pytest.mark.parametrize("line", [b'{"key": "aaaa', b"\xff\xfe", b"[]", b'{"key": "a", "status": "finished"}'])
def test_a_damaged_line_is_one_sentence_and_hides_no_other(sweep, tmp_path, line):
    packed = tmp_path / "packed"
    pack(sweep, packed)
    lines = (packed / "records.jsonl").read_bytes().splitlines()
    lines[2] = line
    (packed / "records.jsonl").write_bytes(b"\n".join(lines))
    found = load(packed)
    assert len(found.records) == len(made()) - 1
    (sentence,) = found.warnings
    assert sentence.startswith("records.jsonl, line 3, ")
    assert "left out" in sentence
    with pytest.raises(ValueError, match=r"records\.jsonl, line 3"):
        pack(sweep, packed)  # what is there would be lost


def test_damaged_scores_and_plans_hide_no_record(sweep, tmp_path):
    packed = tmp_path / "packed"
    pack(sweep, packed)
    (packed / "plans.jsonl").write_text("{")
    (packed / "scores.csv.xz").write_bytes((packed / "scores.csv.xz").read_bytes()[:50])
    found = load(packed)
    assert len(found.records) == len(made())
    (sentence,) = found.warnings
    assert sentence.startswith("plans.jsonl, line 1, ")
    with pytest.raises(RecordError, match=r"scores\.csv\.xz cannot be read"):
        read_scores(packed, found.records[0])


def test_records_of_uncommitted_code_are_refused_unless_allowed(tmp_path, capsys):
    for seed, commit in enumerate(("a1b2c3", "a1b2c3+", "a1b2c3+")):
        write_run(tmp_path / "out", make_record(seed=seed, environment={"commit": commit}))
    command = ["pack", "--output", str(tmp_path / "out"), "--to", str(tmp_path / "packed")]
    assert main(command) == 1
    assert "2 of 3 records" in (told := capsys.readouterr().err)
    assert "--allow-uncommitted" in told
    assert not (tmp_path / "packed").exists()
    assert main([*command, "--allow-uncommitted"]) == 0
    assert len(read_records(tmp_path / "packed")) == 3
    assert main(command) == 0  # those are there, none is added


@pytest.mark.parametrize("scores", [None, "", "image,score\na.png,0.5\n", "image,label,kind,score,fold\n"])
def test_what_cannot_be_packed_leaves_all_as_it_was(sweep, tmp_path, scores):
    packed = tmp_path / "packed"
    pack(sweep, packed)
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    write_run(sweep, new := make_record(model="Fastflow"), scores or "")
    if scores is None:
        (sweep / new["folder"] / "scores.csv").unlink()
    with pytest.raises(RecordError, match=r"scores\.csv.*--overwrite all"):
        pack(sweep, packed)
    assert {path.name: path.read_bytes() for path in packed.iterdir()} == before
    with pytest.raises(ValueError, match="no readable record"):
        pack(tmp_path / "nowhere", packed)


def test_a_later_sweep_of_that_name_replaces_the_packed_plan(sweep, tmp_path):
    packed = tmp_path / "packed"
    write(sweep, [], ({"sweep": "other", "command": "b", "experiments": []},))
    (sweep / "plans" / "test-1.json").write_text(json.dumps(make_plan(make_record(model="Fastflow"))))
    pack(sweep, packed)
    drop_other_plans(packed / "plans" / "test-new.json", sweep="test")
    assert [plan.sweep for plan in load(packed).plans] == ["other"]


def test_a_sweep_runs_only_what_is_not_packed(tiny_config, tmp_path):
    output, packed = tmp_path / "out", tmp_path / "packed"
    assert main(["run", "--config", str(tiny_config(2)), "--output", str(output)]) == 0
    assert main(["pack", "--output", str(output), "--to", str(packed), "--allow-uncommitted"]) == 0
    assert "model.ckpt" not in (packed / "records.jsonl").read_text()  # it is not there
    before = {path.name: path.read_bytes() for path in packed.iterdir()}
    packed_records = {record.key: record for record in read_records(packed)}
    assert main(["run", "--config", str(tiny_config(2)), "--output", str(packed)]) == 0
    assert list(packed.glob("runs/**/record.json")) == []
    assert (packed / "leaderboard.csv").read_bytes() == before["leaderboard.csv"]
    assert main(["run", "--config", str(tiny_config(3)), "--output", str(packed)]) == 0
    assert (packed / "records.jsonl").read_bytes() == before["records.jsonl"]
    assert len(list(packed.glob("runs/**/scores.csv"))) == 1
    found = {record.key: record for record in read_records(packed)}
    assert len(found) == 3
    for key, record in packed_records.items():  # of one network with the new run, and timed with it
        assert (found[key].started, found[key].metrics) == (record.started, record.metrics)
        assert len(read_scores(packed, found[key])) > 1


def test_an_emptied_file_of_packed_runs_is_no_folder_of_runs(tmp_path):
    (tmp_path / RECORDS).write_text("")
    (tmp_path / "leaderboard.csv").write_text("kept")
    assert not holds_runs(tmp_path)
    assert main(["table", "--output", str(tmp_path)]) == 1
    assert (tmp_path / "leaderboard.csv").read_text() == "kept"
