"""SPD in every method of two views, and what SimSiam and BYOL do with the views."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from extensions.self_supervised import Byol, SimCLR, SimSiam
from extensions.self_supervised.fit.pretraining import pretrain
from extensions.self_supervised.methods.simsiam import crosswise_loss
from extensions.self_supervised.methods.two_views import TwoViews, spot_difference

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}
STILL = {"cj_prob": 0.0, "random_gray_scale": 0.0, "gaussian_blur": 0.0, "hf_prob": 0.0}


def points(n: int, k: int = 16, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def test_spots_are_the_first_view_changed_in_a_small_place_and_as_a_whole():
    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    views = TwoViews(64, STILL, PLAIN, spots=True)(image, 0, lambda: image)
    assert list(views) == ["first", "second", "blended", "weak", "patch"]
    local = (views["blended"] != views["first"]).any(dim=0)
    assert 0 < float(local.float().mean()) < 0.1
    assert (views["patch"] > 0)[local].all()
    assert float((views["weak"] != views["first"]).any(dim=0).float().mean()) > 0.5


def test_spots_leave_the_two_views_as_they_are_without():
    from extensions.runtime.seeding import seeded

    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    drawn = []
    for spots in (False, True):
        with seeded(5):
            drawn.append(TwoViews(64, {}, PLAIN, spots=spots)(image, 0, lambda: image))
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in ("first", "second"))


def test_spot_difference_is_the_mean_cosine_of_numpy():
    images, blended, weak = (points(5, seed=seed) for seed in range(3))
    found = spot_difference(images, blended, weak).numpy()

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.mean([x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]))

    expected = [cosine(images.numpy(), other.numpy()) for other in (blended, weak)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_spot_difference_of_maps_counts_positions_by_the_patch():
    images, blended, weak = (torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(n)) for n in range(3))
    patches = torch.zeros(2, 8, 8)
    patches[0, :2, 2:4] = 1  # position (0, 1) alone
    patches[1, 6:, 4:8] = 0.5  # positions (3, 2) and (3, 3), alike
    found = spot_difference(images, blended, weak, patches)
    for other, value in zip((blended, weak), found, strict=True):
        cosines = F.cosine_similarity(images, other)  # (2, 4, 4)
        torch.testing.assert_close(value, (cosines[0, 0, 1] + cosines[1, 3, 2:].mean()) / 2)


def test_spd_at_a_layer_learns_to_set_the_patch_apart_there(monkeypatch):
    method = SimCLR("resnet18", spd_weight=1.0, spd_layer="layer2")
    monkeypatch.setattr(method, "log", lambda *args, **kwargs: None)
    monkeypatch.setattr(type(method), "trainer", property(lambda self: type("One", (), {"world_size": 1})))
    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    views = [TwoViews(64, STILL, PLAIN, spots=True)(image, 0, lambda: image) for _ in range(4)]
    batch = {name: torch.stack([one[name] for one in views]) for name in views[0]}
    optimizer = torch.optim.SGD(method.encoder.parameters(), lr=0.1)
    terms = []
    for _ in range(6):
        features, term = method.encode(batch)
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
        terms.append(float(term.detach()))
    assert features.shape == (8, 512)
    assert terms[-1] < terms[0] - 0.05
    assert not method.encoder.get_submodule("layer2")._forward_hooks


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_term_compares_each_image_with_its_own_changes(share, monkeypatch):
    """An encoder that gives the pixels back: the term is what the images themselves say."""
    method = SimCLR("resnet18", spd_weight=0.3, spd_share=share)
    monkeypatch.setattr(method, "encoder", torch.nn.Flatten())
    monkeypatch.setattr(method, "log", lambda *args, **kwargs: None)
    monkeypatch.setattr(type(method), "trainer", property(lambda self: type("One", (), {"world_size": 1})))
    batch = {name: points(4, 12, seed=seed).reshape(4, 3, 2, 2) for seed, name in enumerate(("first", "second"))}
    batch |= {name: points(4, 12, seed=seed).reshape(4, 3, 2, 2) for seed, name in enumerate(("blended", "weak"), 2)}
    features, spot = method.encode(batch)
    assert torch.equal(features, torch.cat([batch["first"], batch["second"]]).flatten(1))
    n = round(4 * share)
    first, blended, weak = (batch[name].flatten(1)[:n] for name in ("first", "blended", "weak"))
    expected = 0.3 * (F.cosine_similarity(first, blended) - F.cosine_similarity(first, weak)).mean()
    torch.testing.assert_close(spot, expected)


def test_spd_sets_a_changed_spot_apart_from_a_weak_change(asked, tmp_path):
    run = asked("SimCLR", model={"spd_weight": 5.0, "lr": 0.05, "views": STILL}, trainer={"max_epochs": 8})
    curve = pretrain(run, tmp_path)["curve"]
    gaps = [row["cosine_weak"] - row["cosine_blended"] for row in curve]
    assert np.mean(gaps[-3:]) > np.mean(gaps[:3]) + 0.02


@pytest.mark.parametrize("method", ["SimSiam", "Byol"])
def test_spd_is_one_argument_of_every_method_of_two_views(method, asked, tmp_path):
    run = asked(method, model={"spd_weight": 0.1, "hidden_size": 16}, trainer={"max_steps": 1})
    (row,) = pretrain(run, tmp_path)["curve"]
    assert all(-1 <= row[name] <= 1 for name in ("cosine_blended", "cosine_weak"))
    without = asked(method, model={"hidden_size": 16}, trainer={"max_steps": 1})
    (plain,) = pretrain(without, tmp_path / "plain")["curve"]
    assert row["train_loss"] != plain["train_loss"]
    assert row["train_loss"] == pytest.approx(
        plain["train_loss"] + 0.1 * (row["cosine_blended"] - row["cosine_weak"]), abs=0.05
    )


def test_crosswise_loss_looks_at_the_other_view_and_gives_targets_no_gradient():
    predictions, targets = points(6, seed=1).requires_grad_(), points(6, seed=2).requires_grad_()
    loss = crosswise_loss(predictions, targets)
    first, second = (
        -F.cosine_similarity(predictions[:3], targets[3:]),
        -F.cosine_similarity(predictions[3:], targets[:3]),
    )
    torch.testing.assert_close(loss, (first.mean() + second.mean()) / 2)
    loss.backward()
    assert predictions.grad is not None
    assert targets.grad is None


def test_the_predictor_of_simsiam_keeps_its_rate(asked, tmp_path):
    run = asked("SimSiam", model={"lr": 0.04, "hidden_size": 16, "projection_size": 32})
    pretrain(run, tmp_path)
    optimizer = run.method.trainer.optimizers[0]
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in run.method.predictor.parameters()} == {0.04}
    assert max(rates[id(p)] for p in run.method.encoder.parameters()) < 1e-6
    assert len(rates) == len(list(run.method.parameters()))


def test_the_copy_of_byol_follows_by_its_momentum(asked, tmp_path):
    run = asked(
        "Byol",
        model={"hidden_size": 16, "projection_size": 8, "target_momentum": 0.9, "warmup_epochs": 0},
        trainer={"max_epochs": 2, "max_steps": 1},
    )
    before = copy.deepcopy(run.method.target.state_dict())
    pretrain(run, tmp_path)
    after, network = run.method.target.state_dict(), run.method.encoder.state_dict()
    name = "layer1.0.conv1.weight"
    # One step of one: the momentum has risen to 1, and the copy stands still.
    torch.testing.assert_close(after[f"0.{name}"], before[f"0.{name}"])
    assert not torch.equal(network[name], before[f"0.{name}"])
    assert not any(parameter.requires_grad for parameter in run.method.target.parameters())


def test_the_copy_of_byol_is_between_what_it_was_and_the_network(asked, tmp_path):
    run = asked("Byol", model={"hidden_size": 16, "projection_size": 8, "target_momentum": 0.0, "lr": 0.05})
    before = copy.deepcopy(run.method.target.state_dict())
    pretrain(run, tmp_path)
    name = "layer1.0.conv1.weight"
    old, followed, new = (
        before[f"0.{name}"],
        run.method.target.state_dict()[f"0.{name}"],
        run.method.encoder.state_dict()[name],
    )
    assert 0 < float((followed - new).norm()) < float((old - new).norm())


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: SimCLR("resnet18", spd_weight=-1), "spd_weight is -1; expected 0 or more"),
        (lambda: SimCLR("resnet18", spd_layer="layer9"), "has no layer 'layer9'"),
        (lambda: SimSiam("resnet18", spd_share=0), "spd_share is 0; expected a share above 0, up to 1"),
        (lambda: SimSiam("resnet18", hidden_size=0), "hidden_size is 0"),
        (lambda: Byol("resnet18", target_momentum=2), "target_momentum is 2"),
        (lambda: Byol("resnet18", projection_size=1), "projection_size is 1"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_words(build, expected):
    with pytest.raises(ValueError, match=expected):
        build()
