"""What a trial fits to and is judged on never holds an image that is tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.tune.part import Part, part_of
from benchmark.tune.scoring import judge
from benchmark.tune.validation import read_validation
from extensions.configuration import ConfigError, instantiate_data
from extensions.data import fingerprint
from extensions.data.errors import DatasetError

Product = Callable[..., dict[str, Any]]
KINDS = [{"labelled": 3}, {"drawn": 5}, {"folder": "limits"}, "known"]


def part(spec: dict[str, Any], validation: Any) -> Part:
    return part_of(spec, read_validation(validation))


def paths(*samples: pd.DataFrame) -> set[str]:
    return {str(path) for frame in samples for path in frame["image_path"]}


@pytest.mark.parametrize("validation", KINDS, ids=str)
@pytest.mark.parametrize("group", [None, r"(part\w+?\d+)_"])
def test_no_image_is_both_looked_at_and_tested_nor_fitted_and_judged(
    product: Product, validation: Any, group: str | None
) -> None:
    spec = product(group=group, **({"known_defects": 2} if validation == "known" else {}))
    found = part(spec, validation)
    tested = paths(found.datamodule.test_data.samples)
    assert not tested & paths(found.train, found.good, found.bad)
    assert not paths(found.train) & paths(found.good)
    assert (found.train["label_index"] == 0).all()
    assert (found.good["label_index"] == 0).all()
    assert (found.bad["label_index"] == 1).all()
    if group is not None:
        by_part = [{Path(path).name.partition("_")[0] for path in paths(one)} for one in (found.train, found.good)]
        assert not by_part[0] & by_part[1]


@pytest.mark.parametrize("validation", KINDS, ids=str)
def test_the_data_set_of_the_result_is_tested_without_what_was_looked_at(product: Product, validation: Any) -> None:
    spec = product(**({"known_defects": 2} if validation == "known" else {}))
    found = part(spec, validation)
    later = instantiate_data(found.data)
    later.setup()
    assert paths(later.test_data.samples) == paths(found.datamodule.test_data.samples)
    assert not paths(later.test_data.samples) & paths(found.bad)
    assert not later.train_data.samples["known"].any(), "what learns from good images alone must take it"


def test_only_labelled_and_known_defects_leave_the_test_set(product: Product) -> None:
    whole = instantiate_data(product())
    whole.setup()
    n_tested = {
        str(one): len(part(product(known_defects=2 * (one == "known")), one).datamodule.test_data) for one in KINDS
    }
    n = len(whole.test_data)
    assert list(n_tested.values()) == [n - 3, n, n, n - 2]


def test_a_folder_brings_its_own_good_images(product: Product) -> None:
    found = part(product(), {"folder": "limits"})
    assert {Path(path).parent.name for path in paths(found.good)} == {"good"}
    assert len(found.good) == 3
    assert len(found.train) == 16


def test_draws_repeat_by_their_seed_and_drawn_defects_have_masks(product: Product) -> None:
    first, again, other = (part(product(), {"drawn": 5, "seed": seed}) for seed in (0, 0, 1))
    assert paths(first.bad) == paths(again.bad)
    assert paths(first.good) == paths(again.good)
    assert paths(first.good) != paths(other.good)
    assert first.has_masks


def test_a_trial_looks_at_no_more_images_than_asked_for(product: Product) -> None:
    found = part(product(group=r"(part\w+?\d+)_"), {"drawn": 2, "n_train": 5, "n_good": 2})
    assert (len(found.train), len(found.good)) == (5, 2)
    assert len({Path(path).name.partition("_")[0] for path in paths(found.train)}) == 5, "each of another part"
    less = found.reduced(0.3, seed=0)
    assert paths(less.train) < paths(found.train)
    assert paths(less.bad) == paths(found.bad)


def test_what_cannot_be_looked_at_is_refused(product: Product) -> None:
    with pytest.raises(ConfigError, match="it has no known defects; set its known_defects"):
        part(product(), "known")
    with pytest.raises(ConfigError, match="its images are cut into tiles"):
        part(product(tiling={"tile": 32, "overlap": 4}), "drawn")
    with pytest.raises(ConfigError, match="found 0 good images to look at"):
        part(product(), {"drawn": 2, "held_out": 0.01})
    stock = {"class_path": "anomalib.data.Folder", "init_args": product()["init_args"] | {"name": "stock"}}
    stock["init_args"].pop("num_workers")
    with pytest.raises(ConfigError, match="expected a datamodule of this project"):
        part(stock, "drawn")


@pytest.mark.parametrize(("validation", "told"), [
    ({"labelled": 9}, r"^validation.labelled is 9, but of the 8 defects .* only 7 can be had"),
    ({"folder": "nowhere"}, r"lacks the folder .*nowhere; correct validation.folder in the config$"),
    ({"folder": "test"}, r"same image in validation.folder and in training or test"),
    ({"folder": "train/good"}, r"image in validation.folder outside of its subfolders"),
])  # fmt: skip
def test_what_the_data_set_lacks_is_told_by_the_name_it_was_asked_under(
    product: Product, validation: Any, told: str
) -> None:
    with pytest.raises(DatasetError, match=told) as caught:
        part(product(), validation)
    assert "calibration_dir" not in str(caught.value)
    assert "tuned_on" not in str(caught.value)


def test_thresholds_of_another_folder_are_not_dropped(product: Product) -> None:
    with pytest.raises(
        ConfigError, match=r"has calibration_dir 'test'.*give the same one, or leave calibration_dir out"
    ):
        part(product(calibration_dir="test"), {"folder": "limits"})
    assert len(part(product(calibration_dir="limits"), {"folder": "limits"}).bad) == 2


def test_judged_scores_are_those_of_a_fit_by_anomalib(
    product: Product, detector: dict[str, Any], tmp_path: Path
) -> None:
    from anomalib.engine import Engine
    from lightning import seed_everything
    from sklearn.metrics import roc_auc_score

    from extensions.configuration import instantiate_model

    found = part(product(), {"labelled": 3})
    judged = judge(detector, found, workspace=tmp_path)
    seed_everything(0, workers=True, verbose=False)
    model = instantiate_model(detector)
    model.post_processor = None
    engine = Engine(default_root_dir=tmp_path, logger=False, barebones=True)
    engine.fit(model, datamodule=found.served())
    batches = engine.predict(model, dataloaders=found.served().test_dataloader())
    expected = {
        found.datamodule.relative(path): float(score)
        for batch in batches
        for path, score in zip(batch.image_path, batch.pred_score, strict=True)
    }
    scores = judged.scores.set_index("image")["score"]
    assert scores.to_dict() == pytest.approx(expected, abs=1e-4)
    assert judged.quality.image_AUROC == roc_auc_score(judged.scores["label"], judged.scores["score"])
    assert judged.quality.pixel_AUROC is not None
    assert fingerprint(found.datamodule).sha256, "the data set itself stays as it was"
