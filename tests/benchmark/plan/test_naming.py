"""What tells rows and lines apart that would read the same."""

import pytest

from benchmark.execute.sweep import describe, settings_told
from benchmark.plan.experiment import Experiment
from benchmark.plan.naming import differences
from tests.benchmark.fabricated import as_record, make_plan, make_record, make_refinement, rounds_of, tables_of

DATA = {"class_path": "extensions.Folder", "init_args": {"name": "tiles", "root": "/line/tiles", "normal_dir": "good"}}


def variant(section: str, **arguments):
    record = make_record(model="Padim", data_arguments=arguments if section == "data" else None)
    experiment = record["experiment"]
    if section == "model":
        experiment["model"]["init_args"] |= arguments
    elif section == "trainer":
        experiment["trainer"] = arguments
    name = f"{section}{arguments}"
    return record | {"experiment_id": name, "key": name, "folder": f"runs/a/b/c/{name}"}


CASES = [
    ("model", {"image_size": 128}, "image_size=128"),
    ("model", {"center_crop": 224}, "center_crop=224"),
    ("model", {"n_features": 50}, "n_features=50"),
    ("model", {"layers": ["layer1", "layer2"]}, "layers=[layer1 layer2]"),
    ("trainer", {"max_epochs": 20}, "max_epochs=20"),
    ("trainer", {"callbacks": [{"class_path": "a.b.Stop", "init_args": {"n": 3}}]}, "callbacks=[Stop(n=3)]"),
    ("data", {"k_shot": 8}, "k_shot=8"),
    ("data", {"train_batch_size": 8}, "train_batch_size=8"),
]


@pytest.mark.parametrize(("section", "arguments", "told"), CASES)
def test_rows_that_would_read_the_same_say_what_differs_in_every_table(section, arguments, told):
    one, other = variant(section), variant(section, **arguments)
    tables = tables_of([one, other])
    settings = tables.leaderboard["settings"].tolist()
    assert sum(told in text for text in settings) == 1
    assert len(set(settings)) == 2
    assert len(set(tables.by_category["settings"])) == 2
    assert sorted(tables.runs["settings"]) == sorted(settings)


def test_what_failed_or_never_ran_is_told_apart_too():
    one, other = variant("model"), variant("model", image_size=128)
    tables = tables_of([one], [make_plan(one, other)])
    assert tables.failures["settings"].tolist() == ["image_size=128"]


def test_a_row_that_nothing_reads_like_keeps_its_settings():
    tables = tables_of([variant("model", image_size=128), make_record(model="Cflow")])
    assert tables.leaderboard["settings"].tolist() == ["", ""]


def test_a_default_is_told_beside_what_differs_from_it():
    experiments = [
        Experiment(model={"class_path": "extensions.Padim", "init_args": arguments}, data=DATA).canonical
        for arguments in ({}, {"image_size": 128})
    ]
    assert differences(experiments) == ["image_size=256", "image_size=128"]


def test_folders_are_told_only_where_nothing_else_tells():
    def one(folder: str, **arguments) -> dict:
        data = {**DATA, "init_args": {**DATA["init_args"], "normal_dir": folder}}
        return Experiment(model={"class_path": "extensions.Padim", "init_args": arguments}, data=data).canonical

    assert differences([one("a"), one("b")]) == ["normal_dir=a", "normal_dir=b"]
    assert differences([one("a", image_size=64), one("b", image_size=128)]) == ["image_size=64", "image_size=128"]


def test_the_lines_of_a_grid_tell_size_settings_refinement_augmentation_and_seed():
    model = {"class_path": "extensions.Padim", "init_args": {"image_size": 128}}
    sweep = [
        Experiment(model=model, data=DATA),
        Experiment(model=model, data=DATA, seed=1),
        Experiment(model={**model, "init_args": {"image_size": 64}}, data=DATA),
        Experiment(model=model, data=DATA, refinement={"strategy": "consensus"}),
        Experiment(model=model, data=DATA, refinement={"strategy": "neighbors"}),
        Experiment(model=model, data=DATA, augmentation={"name": "flip", "where": "tta"}),
        Experiment(model=model, data={**DATA, "init_args": {**DATA["init_args"], "k_shot": 8}}),
        Experiment(model=model, data=DATA, trainer={"max_epochs": 3}),
    ]
    told = settings_told(sweep)
    lines = [
        describe(one, as_record(make_record(dataset="tiles", category="")), told[one.experiment_id]) for one in sweep
    ]
    assert len(set(lines)) == len(lines)
    for place, text in ((1, "seed 1"), (2, "image_size=64"), (3, "strategy=consensus"), (5, "flip"), (6, "k_shot=8")):
        assert text in lines[place]
    assert "256 px" in describe(sweep[0], as_record(make_record()))


def test_the_line_of_a_refinement_says_what_it_removed_and_that_of_a_failure_its_reason():
    experiment = Experiment(model={"class_path": "extensions.Padim"}, data=DATA, refinement={"strategy": "consensus"})
    rounds = [{"round": 0, "n_removed": 0, "n_train": 100}, {"round": 2, "n_removed": 12, "n_train": 88}]
    line = describe(experiment, as_record(make_record(refinement={"rounds": rounds})))
    assert "12 of 100 training images removed in 2 rounds" in line
    assert "image_AUROC 0.9000" in line
    failed = describe(experiment, as_record(make_record(status="failed")))
    assert failed.startswith("failed   Padim resnet18 on elpv mono, strategy=consensus")
    assert failed.endswith("broken.png is truncated")


def test_refinements_of_detectors_that_read_the_same_are_told_apart():
    records = [make_refinement("consensus", 0, auroc=0.9, gain=0.1, ratio=ratio) for ratio in (0.1, 0.2)]
    for record, size in zip(records, (128, 256), strict=True):
        record["experiment"]["model"] = {"class_path": "extensions.Patchcore", "init_args": {"image_size": size}}
    told = rounds_of(records)["detector"].unique().tolist()
    assert told == ["Patchcore resnet18, image_size=128", "Patchcore resnet18, image_size=256"]
