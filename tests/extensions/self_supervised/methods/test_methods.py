"""What every way of pretraining promises, and what each of them learns from."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from extensions.backbones import WeightsError
from extensions.self_supervised import RelativePosition, SimCLR, Supervised, Triplet
from extensions.self_supervised.fit.pretraining import pretrain
from extensions.self_supervised.fit.views_sheet import GAP, views_sheet
from extensions.self_supervised.methods.encoder import build_encoder
from extensions.self_supervised.methods.method import embedding_spread, lr_share
from extensions.self_supervised.methods.position import NeighborPatches
from extensions.self_supervised.methods.triplet import TripletViews

METHODS = ("Byol", "RelativePosition", "SimCLR", "SimSiam", "Supervised", "Triplet")
PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_the_encoder_and_logs_a_finite_loss(method, asked, tmp_path):
    run = asked(method)
    before = {key: value.clone() for key, value in run.method.encoder.state_dict().items()}
    record = pretrain(run, tmp_path)
    after = run.method.encoder.state_dict()
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert not torch.equal(before["layer4.1.conv2.weight"], after["layer4.1.conv2.weight"])
    assert [row["epoch"] for row in record["curve"]] == [1, 2]
    assert all(np.isfinite(row["train_loss"]) for row in record["curve"])
    assert all(0 < row["embedding_spread"] < 1.5 for row in record["curve"])


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_encoder(method, asked, tmp_path):
    runs = [asked(method, trainer={"max_epochs": 1}) for _ in range(2)]
    for index, run in enumerate(runs):
        pretrain(run, tmp_path / str(index))
    first, second = (run.method.encoder.state_dict()["layer4.1.conv2.weight"] for run in runs)
    torch.testing.assert_close(first, second, atol=1e-3, rtol=0)  # of 0.03; sums of few values round differently


@pytest.mark.parametrize("method", METHODS)
def test_the_sheet_shows_a_row_for_each_image(method, asked, tmp_path):
    """The images are red, green and blue: each is one row, and all of its views have its color."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(("a/0.png", "a/1.png", "b/0.png")):
        pixels = rng.integers(0, 40, (72, 72, 3), dtype=np.uint8)
        pixels[..., channel] += 180
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    still = {} if method == "RelativePosition" else {"views": {"cj_prob": 0.0, "random_gray_scale": 0.0}}
    run = asked(method, model=still, data={"folders": [str(tmp_path)], "batch_size": 3})
    sheet = views_sheet(run, n=3)
    views = [view for view in run.data.dataset[0].values() if view.ndim == 3]
    height, width = views[0].shape[1] + 2 * GAP, views[0].shape[2] + 2 * GAP
    assert (sheet.dtype, sheet.shape) == (np.uint8, (3 * height, len(views) * width, 3))
    cells = sheet.reshape(3, height, len(views), width, 3)[:, GAP:-GAP, :, GAP:-GAP]
    colors = cells.mean(axis=(1, 3)).argmax(axis=-1)  # (3, n_views)
    assert sorted(colors.tolist()) == [[channel] * len(views) for channel in range(3)]


def test_what_labels_say_is_learned(asked, tmp_path):
    mild = {"min_scale": 0.8, "cj_prob": 0.0, "gaussian_blur": 0.0}
    run = asked("Supervised", model={"views": mild, "lr": 0.02}, trainer={"max_epochs": 8})
    curve = pretrain(run, tmp_path)["curve"]
    assert curve[-1]["train_loss"] < 0.5 * curve[0]["train_loss"]


def test_a_single_class_cannot_be_told_apart(asked, parts, tmp_path):
    with pytest.raises(ValueError, match=r"single class 'spots'; expected images in two or more subfolders"):
        pretrain(asked("Supervised", data={"folders": [str(parts / "spots")]}), tmp_path)


def test_nt_xent_is_smaller_for_views_that_agree():
    method = SimCLR("resnet18")
    together, apart = torch.eye(8, 128), torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
    assert method.nt_xent(together, together) < method.nt_xent(together, F.normalize(apart))


def test_the_queue_is_part_of_a_checkpoint():
    method, other = SimCLR("resnet18", queue_size=64), SimCLR("resnet18", queue_size=64)
    saved: dict = {}
    method.on_save_checkpoint(saved)
    banks = [dict(one.nt_xent.named_buffers()) for one in (method, other)]
    assert any(not torch.equal(banks[0][name], banks[1][name]) for name in banks[0])
    other.on_load_checkpoint(saved)
    assert all(torch.equal(banks[0][name], banks[1][name]) for name in banks[0])


def test_a_triplet_is_two_good_views_and_one_with_a_defect():
    rng = np.random.default_rng(0)
    even = np.full((96, 96, 3), 128, np.uint8)
    other = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
    still = {"cj_prob": 0.0, "random_gray_scale": 0.0, "gaussian_blur": 0.0}
    views = TripletViews(64, still, None, ["stain"])(even, 0, lambda: other)
    assert views["anchor"].std() < 0.01
    assert views["positive"].std() < 0.01
    assert views["negative"].std() > 0.005
    assert views["negative"].shape == (3, 64, 64)


def test_without_a_miner_each_image_has_its_own_triplet():
    method = Triplet("resnet18", miner="none", margin=0.2)
    points = F.normalize(torch.randn(9, 128, generator=torch.Generator().manual_seed(1)))
    labels, triplets = method._triplets(points)
    anchors, positives, negatives = points.chunk(3)
    distances = (anchors - positives).norm(dim=1) - (anchors - negatives).norm(dim=1) + 0.2
    positive = distances.clamp_min(0)
    expected = positive.sum() / (positive > 0).sum().clamp_min(1)  # pytorch-metric-learning averages what is not 0
    torch.testing.assert_close(method.triplet_loss(points, labels, triplets), expected)


def test_a_neighbor_lies_where_its_position_says():
    side = 3 * 16
    rows, columns = np.mgrid[:side, :side] // 16
    image = np.repeat((rows * 3 + columns)[..., None] * 20, 3, axis=2).astype(np.uint8)
    maker = NeighborPatches(32, 0.0, PLAIN)
    for _ in range(30):
        views = maker(image, 0, lambda: image)
        assert round(float(views["first"].mean()) * 255 / 20) == 4  # the middle cell
        cell = round(float(views["second"].mean()) * 255 / 20)
        assert cell - (cell > 4) == int(views["position"])


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing():
    shares = [lr_share(step, n_steps=20, n_warmup=4) for step in range(21)]
    assert shares[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert shares[4] == 1
    assert shares == sorted(shares[:5]) + sorted(shares[5:], reverse=True)
    assert shares[20] == pytest.approx(0)


def test_spread_is_one_for_random_directions_and_nothing_for_equal_ones():
    random = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert float(embedding_spread(random)) == pytest.approx(1, abs=0.02)
    assert float(embedding_spread(torch.ones(10, 64))) == pytest.approx(0, abs=1e-5)


def test_an_encoder_starts_from_a_file_that_has_all_of_it(tmp_path):
    from safetensors.torch import save_file

    source = build_encoder("resnet18")
    tensors = source.state_dict()
    save_file(tensors | {"fc.weight": torch.zeros(10, 512)}, tmp_path / "whole.safetensors")
    again = build_encoder("resnet18", weights=tmp_path / "whole.safetensors")
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(again.eval()(images), source.eval()(images))

    partial = {key: value for key, value in tensors.items() if not key.startswith("layer4")}
    save_file(partial, tmp_path / "partial.safetensors")
    with pytest.raises(WeightsError, match=r"missing 30 tensors \(layer4\.0\.bn1\.bias.*or start from scratch"):
        build_encoder("resnet18", weights=tmp_path / "partial.safetensors")
    with pytest.raises(WeightsError, match=r"not a complete 'resnet34'"):
        build_encoder("resnet34", weights=tmp_path / "whole.safetensors")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: SimCLR("resnet18", temperature=0), "temperature is 0"),
        (lambda: SimCLR("resnet18", views={"min_scal": 0.1}), "min_scal"),
        (lambda: SimCLR("resnet18", views={"hf_prob": "a"}), "views.hf_prob is 'a'; expected a probability"),
        (lambda: SimCLR("resnet18", views={"hf_prob": 7}), "views.hf_prob is 7"),
        (lambda: SimCLR("resnet18", views={"min_scale": "a"}), "cannot work with {'min_scale': 'a'}"),
        (lambda: SimCLR("resnet18", views={"cj_bright": -3}), "cannot work with"),
        (lambda: SimCLR("resnet18", lr=0), "lr is 0"),
        (lambda: SimCLR("resnet18", lr=float("nan")), "lr is nan"),
        (lambda: SimCLR("resnet18", momentum=-1), "momentum is -1"),
        (lambda: SimCLR("resnet18", weight_decay=-1), "weight_decay is -1"),
        (lambda: SimCLR("resnet18", warmup_epochs=-2), "warmup_epochs is -2"),
        (lambda: Triplet("resnet18", defects=["rust"]), r"defects is \['rust'\]; expected some of crack"),
        (lambda: Triplet("resnet18", margin=3), "margin is 3"),
        (lambda: RelativePosition("resnet18", shift=1), "shift is 1"),
        (lambda: Supervised("resnet18", label_smoothing=1), "label_smoothing is 1"),
        (lambda: SimCLR("resnet19"), "resnet19"),
        (lambda: SimCLR("resnet18.nope"), "resnet18 has no tag 'nope'"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_words(build, expected):
    with pytest.raises(ValueError, match=expected):
        build()


def test_an_image_of_one_color_gets_another_image_as_its_negative():
    black = np.zeros((64, 64, 3), np.uint8)
    white = np.full((64, 64, 3), 255, np.uint8)
    still = {"cj_prob": 0.0, "random_gray_scale": 0.0, "gaussian_blur": 0.0}
    maker = TripletViews(32, still, None, ["nsa"])
    views = maker(black, 0, lambda: black)  # nothing of a black image shows on a black one
    assert views["negative"].max() == 0
    assert torch.equal(maker(black, 0, lambda: white)["negative"], torch.ones(3, 32, 32))


def test_position_is_learned_where_things_have_a_place(asked, tmp_path):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:72, :72] * 3
    for index in range(16):
        image = np.stack([columns, rows, np.full_like(rows, 100)], axis=-1) + rng.integers(0, 20, (72, 72, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{index}.png")
    data = {"folders": [str(tmp_path)], "image_size": 48, "batch_size": 8}
    curve = pretrain(asked("RelativePosition", data=data, trainer={"max_epochs": 15}), tmp_path / "out")["curve"]
    assert curve[-1]["train_loss"] < 0.7 * np.log(8)
