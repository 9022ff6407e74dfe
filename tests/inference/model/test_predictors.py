import json
import shutil

import numpy as np
import openvino
import pytest
import torch

from inference.measure.agreement import engine_predictions
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import batches, load_predictor


@pytest.fixture(scope="module")
def predictor(exported):
    return load_predictor(exported / "model.xml")


@pytest.mark.parametrize("file", ["model.xml", "model.onnx"])
def test_exported_scores_and_maps_are_those_of_the_engine(file, exported, checkpoint, tiny_root, images, tmp_path):
    files = sorted((tiny_root / "test").rglob("*.png"))
    expected = engine_predictions(load_checkpoint(checkpoint)[0], files, tmp_path)
    found = load_predictor(exported / file).predict(images)
    span = np.ptp([score for score, _ in expected])
    assert span > 0
    for prediction, (score, anomaly_map) in zip(found, expected, strict=True):
        assert abs(prediction.pred_score - score) < 1e-4 * span
        assert np.abs(prediction.anomaly_map - anomaly_map).max() < 1e-3 * np.ptp(anomaly_map)


def test_a_checkpoint_predicts_as_its_export_does(exported, checkpoint, images, predictor):
    for one, other in zip(load_predictor(checkpoint).predict(images), predictor.predict(images), strict=True):
        assert one.pred_score == pytest.approx(other.pred_score, rel=1e-4)
        assert one.pred_label == other.pred_label


def test_scores_do_not_depend_on_what_is_in_the_batch(exported, images):
    alone = load_predictor(exported / "model.xml", batch=1).predict(images)
    together = load_predictor(exported / "model.xml", batch=3, streams=2).predict(images)
    assert [one.pred_score for one in together] == pytest.approx([one.pred_score for one in alone], rel=1e-5)


def test_images_of_any_size_come_back_in_their_order(predictor):
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (64, 64), (1, 1), (7, 300), (300, 7), (64, 64), (20, 3000)]
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    alone = [predictor.predict([image])[0].pred_score for image in images]
    streamed = list(predictor.stream(zip("abcdefg", images, strict=True)))
    assert [key for key, _ in streamed] == list("abcdefg")
    assert [outcome.pred_score for _, outcome in streamed] == pytest.approx(alone, rel=1e-5)


def test_what_is_no_image_is_an_error_of_its_own_and_the_rest_goes_on(predictor, images):
    given = [images[0], np.zeros((4, 4), np.uint8), images[1], np.zeros((0, 4, 3), np.uint8), images[2]]
    outcomes = [outcome for _, outcome in predictor.stream(enumerate(given))]
    assert [isinstance(one, ValueError) for one in outcomes] == [False, True, False, True, False]
    with pytest.raises(ValueError, match=r"expected an image of uint8.*found uint8 of shape \(4, 4\)"):
        predictor.predict([given[1]])


def test_a_threshold_decides_at_equality(exported, images, predictor):
    score = predictor.predict(images[:1])[0].pred_score
    assert load_predictor(exported / "model.xml", threshold=score).predict(images[:1])[0].pred_label is True
    above = float(np.nextafter(score, np.inf))
    assert load_predictor(exported / "model.xml", threshold=above).predict(images[:1])[0].pred_label is False


def test_batches_hold_neighbors_of_one_size():
    images = [np.zeros((height, 4, 3), np.uint8) for height in (2, 2, 2, 5, 2)]
    assert [keys for keys, _ in batches(enumerate(images), 2)] == [[0, 1], [2], [3], [4]]


def test_missing_parts_and_other_files_are_named(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_predictor(tmp_path / "model.xml")
    for name in ("model.xml", "model.json"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"model.bin: there is no such file, which belongs to model.xml"):
        load_predictor(tmp_path / "model.xml")
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read this as a network"):
        load_predictor(tmp_path / "model.xml")
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"ends in one of .xml, .onnx, .ckpt"):
        load_predictor(tmp_path / "weights.pt")
    (tmp_path / "model.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="this is no checkpoint"):
        load_predictor(tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (b"{", "JSONDecodeError"),
        (b"\xff\xfe", "JSONDecodeError"),
        (b"[]", "TypeError"),
        ({"format": 2}, "format 2"),
        ({"threshold": "abc"}, "threshold is abc"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"upper_threshold": float("nan")}, "upper_threshold is nan"),
        ({"upper_threshold": -1e9}, r"upper_threshold is -1000000000.0, below threshold, which is "),
        ({"threshold": None, "upper_threshold": 1}, "upper_threshold is 1, and there is no threshold"),
        ({"unsure": 2}, "unsure is 2"),
        ({"requirement": "none missed"}, "requirement is none missed"),
        ({"score_range": [1]}, "score_range is .1"),
        ({"score_range": [2, 1]}, "score_range is"),
        ({"region": [0, 0, 9, 9]}, "region is"),
        ({"image_size": [0, 5]}, "image_size is"),
        ({"dataset": "mine"}, "dataset is mine"),
        ({"model": "Stfpm"}, r"describes another model \(Stfpm, .*than model.xml is \(Padim"),
    ],
)
def test_a_description_of_another_kind_or_model_is_told(changes, message, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    described = tmp_path / "model/model.json"
    if isinstance(changes, bytes):
        described.write_bytes(changes)
    else:
        described.write_text(json.dumps(json.loads(described.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"model.json: .*{message}"):
        load_predictor(tmp_path / "model/model.xml")


def test_a_description_of_before_there_were_three_verdicts_is_read_as_before(exported, images, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    described = tmp_path / "model/model.json"
    before = json.loads(described.read_text())
    for name in ("upper_threshold", "requirement", "promise", "unsure"):
        del before[name]
    described.write_text(json.dumps(before))
    predictor, now = load_predictor(tmp_path / "model/model.xml"), load_predictor(exported / "model.xml")
    assert (predictor.info.threshold, predictor.info.upper_threshold) == (now.info.threshold, None)
    labels = [(one.pred_label, one.verdict) for one in predictor.predict(images)]
    assert labels == [(one.pred_label, one.verdict) for one in now.predict(images)]
    assert set(labels) <= {(True, "defective"), (False, "good")}


def test_given_thresholds_take_the_place_of_both_and_promise_nothing(exported, images, tmp_path, caplog):
    shutil.copytree(exported, tmp_path / "model")
    described = tmp_path / "model/model.json"
    told = {"threshold": -2.0, "upper_threshold": -1.0, "promise": "much", "unsure": 0.5}
    described.write_text(json.dumps(json.loads(described.read_text()) | told | {"requirement": {"max_missed": 0.1}}))
    path = tmp_path / "model/model.xml"
    assert load_predictor(path).info.upper_threshold == -1
    assert not caplog.text
    one = load_predictor(path, threshold=1.0).info
    assert (one.threshold, one.upper_threshold, one.promise, one.unsure) == (1, None, None, None)
    assert "takes the place of both thresholds of the model, -2 and -1: no image is unsure" in caplog.text
    two = load_predictor(path, threshold=-1e9, upper_threshold=1e9)
    assert two.info.requirement is None
    assert {(found.pred_label, found.verdict) for found in two.predict(images)} == {(True, "unsure")}
    with pytest.raises(ValueError, match="--upper-threshold 1 is below --threshold 2; expected it at or above"):
        load_predictor(path, threshold=2.0, upper_threshold=1.0)
    with pytest.raises(ValueError, match="--upper-threshold 1: expected --threshold with it"):
        load_predictor(path, upper_threshold=1.0)


def test_a_network_of_someone_else_is_told(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "model")
    for suffix in (".xml", ".bin"):
        (tmp_path / "model/model").with_suffix(suffix).unlink()
    given = openvino.opset13.parameter([-1, 3, 8, 8], np.float32, name="image")
    openvino.save_model(openvino.Model([openvino.opset13.relu(given)], [given], "other"), tmp_path / "model/model.xml")
    with pytest.raises(ValueError, match=r"has inputs and outputs .*expected images; pred_score; anomaly_map"):
        load_predictor(tmp_path / "model/model.xml")


def test_a_score_that_is_no_number_is_an_error_of_its_image(predictor):
    good, bad = predictor._outcomes(np.array([1.0, np.nan]), np.zeros((2, 1, 3, 3), np.float32), 1.0)
    assert good.pred_score == 1
    assert isinstance(bad, RuntimeError)


def test_a_checkpoint_is_computed_on_the_cpu_alone(checkpoint):
    with pytest.raises(ValueError, match="device 'GPU': a checkpoint is computed by torch on the CPU"):
        load_predictor(checkpoint, device="GPU")


def test_what_is_no_checkpoint_is_told_without_advice_to_load_it(checkpoint, tmp_path):
    half, objects, no_class = (tmp_path / f"{name}.ckpt" for name in ("half", "objects", "class"))
    half.write_bytes(checkpoint.read_bytes()[:10_000])
    torch.save(torch.nn.Linear(2, 2), objects)
    torch.save({"state_dict": {}, "class_path": 5}, no_class)
    for path, message in [
        (half, "cut off"),
        (objects, r"holds torch\.nn\.modules\.linear\.Linear, which is not loaded"),
        (no_class, "--model-class"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_predictor(path)


def test_another_device_is_an_error_that_says_what_is_there(exported):
    with pytest.raises(ValueError, match=r"device 'NPU7'.*this machine has CPU"):
        load_predictor(exported / "model.xml", device="NPU7")


def test_latency_is_the_time_of_its_batch_divided_by_its_images_and_warm(exported, images, monkeypatch):
    predictor = load_predictor(exported / "model.xml", streams=1, batch=3)
    log = []

    class Request:
        """Counts what it is asked; `latency` is what OpenVINO says of the last one, in ms."""

        latency = 600.0

        def __init__(self, request):
            self._request = request

        def __getattr__(self, name):
            return getattr(self._request, name)

        def infer(self, inputs, **options):
            log.append(("untimed", len(inputs[0])))
            return self._request.infer(inputs, **options)

        def start_async(self, inputs, **options):
            log.append(("timed", len(inputs[0])))
            return self._request.start_async(inputs, **options)

    monkeypatch.setattr(predictor, "_requests", [Request(one) for one in predictor._requests])
    found = predictor.predict(images[:4])
    assert [one.latency_ms for one in found] == [200.0, 200.0, 200.0, 600.0]
    n_requests = len(predictor._requests)
    assert log == [("untimed", 1)] * n_requests + [("timed", 3), ("timed", 1)]
    predictor.predict(images[:1])
    assert log[n_requests + 2 :] == [("timed", 1)]
