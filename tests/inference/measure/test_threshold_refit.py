"""A quantized network's own threshold and ranges, by predictors whose scores are known."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import extensions
from inference.measure.agreement import flips_accepted
from inference.measure.cost import cost_sentence, is_kept, own_threshold, speed_sentence, told_of_int8
from inference.measure.labelled_images import LabelledImages
from inference.measure.summary import Costs, Quantized, Summary
from inference.measure.threshold_refit import can_stand_in, refitted, score

RED = (10, 60, 90, 130, 200)  # mean and red channel of the grey images


@pytest.fixture(scope="module")
def model():
    """Only what it makes of masks plays a part: nothing, for they have its size."""
    return extensions.Padim("test_resnet", pre_trained=False, image_size=(24, 24), n_features=4)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five grey images of 24 px, the two brightest anomalous; the mask of each marks the left half."""
    folder = tmp_path_factory.mktemp("grey")
    files = [folder / f"{red}.png" for red in RED]
    for file, red in zip(files, RED, strict=True):
        pixels = np.full((24, 24, 3), red, np.uint8)
        if red >= 130:
            pixels[:, 12:] = 20
        Image.fromarray(pixels).save(file)
    half = np.zeros((24, 24), np.uint8)
    half[:, :12] = 255
    Image.fromarray(half).save(folder / "mask.bmp")
    masks = (None, None, None, folder / "mask.bmp", folder / "mask.bmp")
    return LabelledImages(tuple(files), np.array([False] * 3 + [True] * 2), masks, "five images")


@pytest.fixture
def shifted(brightness):
    """Builds a predictor that says of an image `factor` times its mean."""

    class Shifted(brightness):
        def __init__(self, factor, **changes):
            super().__init__()
            self.factor = factor
            self.info = dataclasses.replace(self.info, **changes)

        def stream(self, inputs):
            for key, outcome in super().stream(inputs):
                yield key, dataclasses.replace(outcome, pred_score=self.factor * outcome.pred_score)

    return Shifted


def test_threshold_and_ranges_are_those_of_the_networks_own_scores(shifted, images, model):
    full, small = shifted(1.0, threshold=100.0), shifted(3.0, threshold=100.0, precision="int8")
    fitted = score(small, images, model)
    # The means: 10, 60, 90 and, half of them dark, (130 + 20) / 2 and (200 + 20) / 2: 90 is above the first defect.
    assert fitted.scores.tolist() == [30, 180, 270, 225, 330]
    assert fitted.map_range == (10, 200)
    # Of all pixels those of 130 and more are marked: whatever lies between 90 and 130 divides them.
    assert 90 < fitted.pixel_threshold <= 130
    info = refitted(small.info, fitted, images, model)
    assert info.threshold == pytest.approx(202.5, rel=1e-3)  # F1 is highest with all defects, between 180 and 225
    assert info.score_range == (30, 330)
    assert info.map_range == (10, 200)
    assert info.threshold_source.startswith("maximal F1 on all labelled test")
    assert info.refitted.on == "five images: 3 normal, 2 anomalous"
    assert info.refitted.trained.threshold == info.trained_threshold == full.info.threshold
    assert info.normalized(info.threshold) == pytest.approx(0.5)
    assert type(info).from_json(info.to_json(), images.files[0]).refitted.trained.threshold == 100.0


def test_both_thresholds_keep_the_requirement_of_the_trained_model(shifted, images, model):
    required = {"requirement": {"max_missed": 0.4, "max_false_alarms": 0.3}, "promise": "told", "unsure": 0.1}
    full = shifted(1.0, threshold=67.5, upper_threshold=82.5, **required)
    small = shifted(3.0, threshold=67.5, upper_threshold=82.5, precision="int8", **required)
    info, told = own_threshold(model, full, small, images, None)
    # Scores 30, 180, 270 of good and 225, 330 of defective images. Of two defective ones one in three, the first, may
    # be missed; of three good ones one in four, the last, may be above.
    assert info.threshold == pytest.approx((180 + 225) / 2)
    assert info.upper_threshold == pytest.approx((270 + 330) / 2)
    assert info.unsure == pytest.approx(2 / 5)  # 225 and 270
    assert info.promise.startswith("at most 40 % missed on average")
    assert info.requirement == required["requirement"]
    trained = info.refitted.trained
    assert (trained.threshold, trained.upper_threshold) == (info.trained_threshold, info.trained_upper_threshold)
    assert (trained.threshold, trained.upper_threshold) == (67.5, 82.5)
    # Of the scores 10, 60, 90 and 75, 110 the fp32 network calls 90 defective, int8 calls 270 unsure: one differs.
    assert told.quantized.n_flipped == 1
    assert "thresholds 202.5 and 300 fitted anew (trained: 67.5 and 82.5)" in cost_sentence(told)
    assert "1 of 5 verdicts flipped on the same images" in cost_sentence(told)
    assert type(info).from_json(info.to_json(), images.files[0]) == info


def test_normal_images_alone_give_their_conformal_quantile(shifted, images, model):
    normal = LabelledImages.from_files(images.files[:3], np.zeros(3, bool), "held-out")
    info = refitted(shifted(2.0).info, score(shifted(2.0), normal, model), normal, model)
    assert info.threshold == pytest.approx(180, rel=1e-2)  # three images support 1 / 4: above all of them
    assert info.threshold > 180
    assert info.threshold_source.startswith("conformal quantile: at most 1 % false alarms, on 3 good")
    assert not info.refitted.pixel_threshold
    assert info.pixel_threshold == shifted(2.0).info.pixel_threshold


def test_other_images_stand_in_only_where_the_rule_gives_the_threshold_again(shifted, images, model):
    normal = LabelledImages.from_files(images.files[:3], np.zeros(3, bool), "of --calibration")
    full, small = shifted(1.0, threshold=91.0), shifted(2.0, threshold=91.0)
    info, told = own_threshold(model, full, small, None, None, normal)
    assert told.quantized.fitted_on.startswith("of --calibration")
    assert info.threshold == pytest.approx(2 * 90, rel=1e-2)
    full = shifted(1.0, threshold=200.0)  # these images are known by heart: their scores say nothing of new ones
    assert not can_stand_in(full.info, score(full, normal, model), normal)
    assert own_threshold(model, full, small, None, None, normal) == (small.info, Costs())


def test_labels_are_held_against_each_other_at_each_networks_own_threshold(shifted, images, model):
    full, small = shifted(1.0, threshold=67.5), shifted(3.0, threshold=67.5)
    _, told = own_threshold(model, full, small, images, None)
    assert told.quantized.n_flipped == 0  # at 67.5 they would be two
    assert told.quantized.judged_on_fitted
    assert told.labelled_auroc["fp32"] == told.labelled_auroc["int8"] == pytest.approx(5 / 6)
    assert "0 of 5 labels flipped on the same images" in cost_sentence(told)
    upside_down, others = (
        shifted(-1.0, threshold=67.5),
        LabelledImages.from_files(images.files, images.is_anomalous, "others"),
    )
    _, told = own_threshold(model, full, upside_down, images, others)
    assert told.quantized.n_flipped > 1
    assert not told.quantized.judged_on_fitted
    assert "labels flipped on others: 3 normal, 2 anomalous" in cost_sentence(told)
    assert not is_kept(told)


@pytest.mark.parametrize(
    ("fp32", "int8", "n_flipped", "kept"),
    [(0.99, 0.986, 2, True), (0.99, 0.984, 0, False), (0.99, 1.0, 5, True), (0.99, 0.99, 6, False)],
)
def test_a_network_is_kept_that_keeps_auroc_and_labels(fp32, int8, n_flipped, kept):
    quantized = Quantized({}, None, "", "", judged_on_fitted=False, n_images=100, n_flipped=n_flipped)
    assert is_kept(Costs(quantized, {"fp32": fp32, "int8": int8})) is kept
    assert is_kept(Costs())
    assert [flips_accepted(n) for n in (4, 83, 100)] == [1, 4, 5]


def test_what_is_not_faster_is_not_recommended():
    assert speed_sentence(50.0, 100.0).startswith("int8 is 2.0 times as fast as fp32 on this machine")
    assert speed_sentence(50.0, 51.0) == (
        "int8 is not faster than fp32 on this machine (51 against 50 images/s): take fp32 here"
    )
    assert "int8 is slower than fp32" in speed_sentence(50.0, 30.0)


def test_a_threshold_that_was_not_fitted_anew_is_told_with_what_to_give():
    summary = Summary(True, *[0.0] * 10, threshold=1.0, exported_threshold=1.0, own_threshold=False,
                      n_flipped_accepted=0, n_anomalous=0, n_flipped=0, n_flipped_near=0)  # fmt: skip
    assert "was not fitted anew" in told_of_int8(summary, precision="int8")
    assert "--labelled DIR" in told_of_int8(summary, precision="int8")
    assert told_of_int8(summary, precision="fp16") == ""
    assert told_of_int8(dataclasses.replace(summary, threshold=None), precision="int8") == ""
