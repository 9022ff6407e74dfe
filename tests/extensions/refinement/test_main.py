"""`python -m extensions.refinement` on tiny images, and a grid of refinements through the benchmark."""

import csv

import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml
from PIL import Image

from benchmark.__main__ import main as benchmark
from benchmark.one_run.refinement_run import ROUND_COLUMNS
from benchmark.records.record_file import read_record
from extensions.refinement.__main__ import main
from tests.conftest import draw_image

N_GOOD, N_BAD = 14, 8


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """good, good_test, bad and masks: striped images, bad ones with a bright square."""
    root = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(0)
    for folder, count in (("good", N_GOOD), ("good_test", 4), ("bad", N_BAD)):
        for name in (folder, "masks"):
            (root / name).mkdir(exist_ok=True)
        for index in range(count):
            image, mask = draw_image(rng, defect=folder == "bad")
            Image.fromarray(image).save(root / folder / f"{index:03}.png")
            if folder == "bad":
                Image.fromarray(mask).save(root / "masks" / f"{index:03}.png")
    return root


def data_of(root, **arguments):
    given = {
        "name": "parts", "root": str(root), "normal_dir": "good", "normal_test_dir": "good_test", "abnormal_dir": "bad",
        "mask_dir": "masks", "num_workers": 0, "largest_ratio": 0.2, "contamination_ratio": 0.2,
    }  # fmt: skip
    return {"class_path": "extensions.ContaminatedFolder", "init_args": given | arguments}


MODEL = {
    "class_path": "extensions.Padim",
    "init_args": {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 10},
}


@pytest.fixture
def config(parts, tmp_path):
    """Write a document of the command line."""

    def write(**changes):
        refinement = {"strategy": "oracle", "rule": "fixed_count", "rule_arguments": {"count": 2}, "rounds": 2}
        document = {"model": MODEL, "data": data_of(parts), "seed": 0, "refinement": refinement | {"image_size": 64}}
        path = tmp_path / "refine.yaml"
        path.write_text(yaml.safe_dump(document | changes))
        return path

    return write


@pytest.fixture(autouse=True)
def random_features(monkeypatch):
    """Frozen features of a random network stand in for those of trained weights, which tests do not have."""
    from extensions.refinement import training_features as features

    def made_up(datamodule, **_):
        samples = datamodule.train_data.samples
        rng = np.random.default_rng(0)
        patches = rng.normal(size=(len(samples), 9, 6)).astype(np.float32)
        patches[samples["injected"].to_numpy(bool) if "injected" in samples else 0] += 3
        return features.TrainingFeatures([], [], patches, (3, 3), 0)

    monkeypatch.setattr(features, "training_features", made_up)


def test_it_leaves_rounds_suspects_and_a_record(config, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["--config", str(config()), "--output", str(output)]) == 0
    rounds = pd.read_csv(output / "rounds.csv")
    assert tuple(rounds.columns) == ROUND_COLUMNS
    n_injected = round(0.2 / 0.8 * N_GOOD)
    assert rounds["round"].tolist() == [0, 1, 2]
    assert rounds["n_train"].tolist() == [N_GOOD + n_injected, N_GOOD + n_injected - 2, N_GOOD + n_injected - 3]
    assert rounds["n_injected_removed"].tolist() == [0, 2, 3]
    assert rounds["image_AUROC"].notna().all()
    assert rounds["pixel_AUPRO"].notna().all()
    with (output / "suspects.csv").open(encoding="utf-8") as file:
        suspects = list(csv.DictReader(file))
    assert len(suspects) == N_GOOD + n_injected
    assert [line["removed_in_round"] for line in suspects[:4]] == ["1", "1", "2", ""]
    assert suspects[0]["injected"] == "true"
    assert "data:image/jpeg" in (output / "suspects.html").read_text(encoding="utf-8")
    (path,) = output.glob("runs/**/record.json")
    record = read_record(path, output)
    assert record.dataset.contamination["n_injected"] == n_injected
    assert record.metrics["image_AUROC"] == pytest.approx(rounds["image_AUROC"].iloc[-1])
    assert set(record.refinement.seconds) == {"features", "score", "train"}
    assert (path.parent / "rounds.csv").exists()
    said = capsys.readouterr()
    assert "features" in said.out
    told = f"3 of {N_GOOD + n_injected} images are suspicious: open {output / 'suspects.html'}; after your review: "
    assert said.out.splitlines()[-1].startswith(told)
    assert f"--review {output / 'suspects.csv'}" in said.out.splitlines()[-1]
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["round 0", "round 1", "round 2"]


def test_a_review_is_trained_on_and_the_answers_stay(config, tmp_path, capsys):
    output, path = tmp_path / "out", config()
    assert main(["--config", str(path), "--output", str(output)]) == 0
    frame = pd.read_csv(output / "suspects.csv", dtype=str)
    frame.loc[0, "keep"] = "yes"
    frame.loc[len(frame) - 1, "keep"] = "no"
    frame.to_csv(output / "suspects.csv", index=False)
    assert main(["--config", str(path), "--output", str(output), "--review", str(output / "suspects.csv")]) == 0
    assert pd.read_csv(output / "rounds.csv")["strategy"].tolist() == ["oracle"] * 3
    rounds = pd.read_csv(output / "rounds-review.csv")
    assert rounds["strategy"].tolist() == ["review"]
    assert rounds["n_removed"].tolist() == [3]  # three by the tool, one kept and one dropped by the person
    assert rounds["n_injected_removed"].tolist() == [2]
    assert pd.read_csv(output / "suspects.csv", dtype=str)["keep"][0] == "yes"
    assert main(["--config", str(path), "--output", str(output)]) == 0
    assert pd.read_csv(output / "suspects-1.csv", dtype=str)["keep"][0] == "yes"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"refinement": {"strategy": "konsensus"}}, "strategy is 'konsensus'"),
        ({"refinment": {}}, "unknown key 'refinment'.*did you mean refinement"),
        ({"model": None}, "needs a section 'model' with a class_path"),
        ({"seed": 1.7}, "seed: found 1.7, expected a whole number"),
        ({"seed": [0, 1]}, "seed: found .0, 1., expected a whole number"),
        ({"refinement": {"backbone": "resnet81"}}, "resnet81"),
        ({"trainer": {"gradient_clip_val": float("nan")}}, "trainer.gradient_clip_val: found nan, expected a finite"),
        ({"refinement": {"strategy": "entropy", "image_size": 64}}, "strategy 'entropy'.*ContrastiveStfpm"),
    ],
)
def test_what_cannot_be_done_is_one_line(config, tmp_path, capsys, changes, words):
    assert main(["--config", str(config(**changes)), "--output", str(tmp_path / "out")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert __import__("re").search(words, line)


def test_without_defects_to_test_with_every_image_is_screened(parts, config, tmp_path, capsys):
    data = {"name": "parts", "root": str(parts), "normal_dir": "good", "num_workers": 0, "test_split_ratio": 0.3}
    path = config(
        data={"class_path": "extensions.Folder", "init_args": data},
        refinement={"strategy": "neighbors", "rule": "fixed_count", "rule_arguments": {"count": 1}, "rounds": 1},
    )
    output = tmp_path / "out"
    assert main(["--config", str(path), "--output", str(output)]) == 0
    suspects = pd.read_csv(output / "suspects.csv", dtype=str)
    assert sorted(suspects["image"]) == [f"good/{number:03}.png" for number in range(N_GOOD)]
    assert "4 images are held out to set the threshold on; they were screened, too" in capsys.readouterr().out
    assert "Held out" in (output / "suspects.html").read_text(encoding="utf-8")
    rounds = pd.read_csv(output / "rounds.csv")
    assert rounds["image_AUROC"].isna().all()
    (path_of_scores,) = output.glob("runs/**/scores.csv")
    n_left = [rounds["n_train"][1], len(pd.read_csv(path_of_scores))]
    assert n_left == [N_GOOD - 4, 3]  # good/000.png, the strange one, was held out
    held_out = pd.read_csv(path_of_scores)["image"][0]
    suspects["keep"] = np.where(suspects["image"] == held_out, "no", "yes")
    suspects.to_csv(output / "suspects.csv", index=False)
    assert main(["--config", str(path), "--output", str(output), "--review", str(output / "suspects.csv")]) == 0
    assert pd.read_csv(output / "rounds-review.csv")["n_train"].tolist() == [N_GOOD - 4]


def test_a_repetition_that_fails_leaves_the_result_of_before(config, tmp_path, monkeypatch, capsys):
    output, path = tmp_path / "out", config()
    assert main(["--config", str(path), "--output", str(output)]) == 0
    (record,) = output.glob("runs/**/record.json")
    before = {file: file.read_bytes() for file in record.parent.iterdir()}
    monkeypatch.setattr("benchmark.one_run.measurement.measure", lambda *_: 1 / 0)
    assert main(["--config", str(path), "--output", str(output)]) == 1
    assert "division by zero" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in record.parent.iterdir()} == before


def test_values_can_be_set_on_the_command_line(config, tmp_path):
    output = tmp_path / "out"
    setting = ["--set", "data.init_args.contamination_ratio=0.1", "refinement.rounds=0"]
    assert main(["--config", str(config()), "--output", str(output), *setting]) == 0
    rounds = pd.read_csv(output / "rounds.csv")
    assert len(rounds) == 1
    assert rounds["ratio"][0] == pytest.approx(2 / 16)


def test_a_grid_lands_in_the_spreadsheet_and_rankings_stay_out_of_the_leaderboard(parts, tmp_path):
    common = {"rule": "fixed_count", "rule_arguments": {"count": 3}, "rounds": 1, "image_size": 64}
    config = {
        "name": "grid",
        "models": [MODEL],
        "data": [data_of(parts)],
        "seeds": [0, 1],
        "refinement": [
            None,
            {**common, "strategy": {"grid": ["random", "oracle"]}},
            {**common, "strategy": "neighbors", "retrain": "never", "compared": ["out_of_bag"]},
        ],
    }
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(config))
    output = tmp_path / "out"
    assert benchmark(["run", "--config", str(path), "--output", str(output)]) == 0
    book = openpyxl.load_workbook(output / "leaderboard.xlsx")
    leaderboard = pd.read_csv(output / "leaderboard.csv")
    whole = leaderboard[leaderboard["category"] == "mean"]
    assert sorted("oracle" in text for text in whole["settings"]) == [False, False, True]
    assert not whole["settings"].str.contains("neighbors").any()
    sheet = book["Refinement"]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)]
    heads = [cell.value for cell in sheet[1]]
    strategies = [row[heads.index("Strategy")] for row in rows]
    assert sorted(strategies) == ["neighbors", "oracle", "out_of_bag", "random"]
    oracle = dict(zip(heads, rows[strategies.index("oracle")], strict=True))
    assert oracle["Score AUROC ↑"] == 1
    assert oracle["Seeds"] == 2
    assert oracle["Beats random"] in {"yes", "even"}
    assert book["Rounds"].max_row == 1 + 2 * 2 * 2 + 2 * 3


def test_seeds_change_what_is_injected(parts, tmp_path):
    config = {
        "name": "seeds", "models": [MODEL], "data": [data_of(parts)], "seeds": [0, 1],
        "refinement": [{"strategy": "oracle", "rounds": 0, "retrain": "never", "image_size": 64}],
    }  # fmt: skip
    path = tmp_path / "seeds.yaml"
    path.write_text(yaml.safe_dump(config))
    assert benchmark(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 0
    found = [
        {line["image"] for line in csv.DictReader(path.open(encoding="utf-8")) if line["injected"] == "true"}
        for path in (tmp_path / "out").rglob("suspects.csv")
    ]
    assert len(found) == 2
    assert found[0] != found[1]


def test_a_detector_without_backbone_is_refined_like_any_other(config, tmp_path, monkeypatch):
    from extensions.refinement import training_features as features

    asked = []
    made_up = features.training_features
    monkeypatch.setattr(
        features, "training_features", lambda data, **how: asked.append(how["backbone"]) or made_up(data)
    )
    arguments = {"latent_dim": 4, "image_size": 64}
    path = config(
        model={"class_path": "extensions.AutoencoderOcSvm", "init_args": arguments}, trainer={"max_epochs": 1}
    )
    assert main(["--config", str(path), "--output", str(tmp_path / "out")]) == 0
    rounds = pd.read_csv(tmp_path / "out/rounds.csv")
    assert rounds["n_injected_removed"].tolist() == [0, 2, 3]
    assert rounds["image_AUROC"].notna().all()
    assert asked == ["tf_efficientnet_lite0"]  # looks at the images in place of the detector's own
