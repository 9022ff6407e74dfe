"""CDO beyond the contract of all models: known defects, held-out images, what is drawn, scores."""

import pytest
import torch
from anomalib.data import ImageBatch
from lightning import seed_everything

from extensions import Cdo, MVTecAD, Stfpm
from extensions.models.cdo.torch_model import CdoModel
from extensions.models.common.known_defects import check_known_defects
from extensions.models.common.score_pooling import pool_scores


@pytest.fixture(scope="module")
def build(bare):
    def build(**init_args: object) -> Cdo:
        return Cdo("test_resnet", ["layer1"], pre_trained=False, image_size=64, **(bare | init_args))

    return build


@pytest.fixture
def laid_out(tiny_root, tmp_path):
    """`tiny_root` in the layout of MVTec AD."""
    for source, target in (("train", "train"), ("test", "test"), ("mask", "ground_truth")):
        (tmp_path / target).symlink_to(tiny_root / source)
    return tmp_path


def data(root, **init_args: object) -> MVTecAD:
    loading = {"train_batch_size": 4, "eval_batch_size": 4, "num_workers": 0, "category": ""}
    return MVTecAD(root=root, **(loading | init_args))


def batch(n: int = 4, known: int = 1) -> ImageBatch:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(n) < known
    mask = torch.zeros(n, 64, 64, dtype=torch.bool)
    mask[:known, 10:20, 30:50] = True
    return ImageBatch(image=torch.randn(n, 3, 64, 64, generator=generator), gt_label=label, gt_mask=mask)


def test_known_defects_are_used_as_they_are_and_the_others_drawn_on(build):
    model, given = build(), batch()
    images, marked = model.with_defects(given, seed=1)
    assert torch.equal(images[0], given.image[0])
    assert torch.equal(marked[0, 0], given.gt_mask[0])
    assert marked[1:].any()
    assert torch.equal(images[1:][~marked[1:].expand(3, 3, 64, 64)], given.image[1:][~marked[1:].expand(3, 3, 64, 64)])
    assert torch.equal(given.image, batch().image), "the batch itself is left as it was"


def test_good_images_need_no_masks(build):
    given = batch(known=0)
    given.gt_mask = None
    images, marked = build(drawing="none").with_defects(given, seed=1)
    assert torch.equal(images, given.image)
    assert not marked.any()


def test_fit_learns_from_known_defects_and_never_tests_them(build, engine, laid_out):
    datamodule = data(laid_out, known_defects=2)
    datamodule.setup()
    model, seen = build(), []
    loss_of = model.with_defects
    model.with_defects = lambda given, seed: seen.append(given) or loss_of(given, seed=seed)
    seed_everything(0)
    engine().fit(model, datamodule=datamodule)
    marked = [mask for one in seen for mask in one.gt_mask[one.gt_label.bool()]]
    assert len(marked) == 2
    assert all(mask.any() for mask in marked)
    known = {path for one in seen for path, label in zip(one.image_path, one.gt_label, strict=True) if label}
    assert len(known) == 2
    assert not known & set(datamodule.test_data.samples["image_path"])


def test_model_that_takes_defects_for_good_images_refuses_them(engine, laid_out, bare):
    datamodule = data(laid_out, known_defects=2)
    with pytest.raises(
        ValueError, match=r"Stfpm learns from good images alone, but .* hold 2 known defects: set known"
    ):
        engine().fit(Stfpm(layers=["layer1"], pre_trained=False, image_size=64, **bare), datamodule=datamodule)
    check_known_defects(Cdo("test_resnet", ["layer1"], pre_trained=False, image_size=64, **bare), datamodule)
    check_known_defects(Stfpm(layers=["layer1"], pre_trained=False, image_size=64, **bare), data(laid_out))


def test_equal_seeds_train_equal_students_whatever_is_drawn_between(build, engine, laid_out):
    states = []
    for _ in range(2):
        seed_everything(3)
        model = build()
        engine(max_epochs=2).fit(model, datamodule=data(laid_out))
        states.append(model.model.student_model.state_dict())
        torch.rand(5)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_epoch_of_the_lowest_loss_on_held_out_images_is_kept(build, engine, laid_out):
    seed_everything(0)
    model, losses, states = build(lr=0.01), [], []

    def note(*_: object) -> None:
        losses.append(float(model.trainer.callback_metrics["val_loss"]))
        states.append({key: tensor.clone() for key, tensor in model.model.student_model.state_dict().items()})

    model.on_train_epoch_end = note
    engine(max_epochs=3, limit_val_batches=1.0, num_sanity_val_steps=0).fit(
        model, datamodule=data(laid_out, val_split_mode="from_train", val_split_ratio=0.25)
    )
    assert len(losses) == 3
    kept, best = model.model.student_model.state_dict(), states[losses.index(min(losses))]
    assert all(torch.equal(kept[key], best[key]) for key in kept)


def test_learning_rate_falls_by_a_factor_each_epoch(build, engine, laid_out):
    model, rates = build(lr=0.001, lr_decay=0.5), []
    model.on_train_epoch_start = lambda: rates.append(model.trainer.optimizers[0].param_groups[0]["lr"])
    engine(max_epochs=3).fit(model, datamodule=data(laid_out))
    assert rates == pytest.approx([0.001, 0.0005, 0.00025])


def test_features_that_a_run_knows_of_the_files_are_not_taken_for_those_of_drawn_images(build):
    class Stale:
        def features(self, images, compute):
            return {layer: torch.zeros_like(found) for layer, found in compute(images).items()}

    model = build()
    expected = model.model.eval().compare_drawn(batch().image)
    model.feature_source = Stale()
    assert torch.equal(model.model.compare_drawn(batch().image), expected)
    assert model.changed_splits == ("train", "val")
    assert build(drawing="none").changed_splits == ()


def test_score_is_the_maximum_or_the_mean_of_the_top_hundredth(build, images):
    scores = {}
    for score in ("max", "top"):
        torch.manual_seed(0)
        network = CdoModel(["layer1"]).eval()
        pool_scores(network, build(score=score).model.score_pooling)
        with torch.no_grad():
            output = network(images)
        scores[score] = output.pred_score
    flat = output.anomaly_map.flatten(1).sort(dim=1, descending=True).values
    torch.testing.assert_close(scores["max"], flat[:, 0])
    torch.testing.assert_close(scores["top"], flat[:, :40].mean(dim=1))  # of 4096 px


def test_the_older_name_of_the_pooling_is_understood_alone(build):
    assert build(score="top").score_pooling == build(score="top", score_pooling="top_1%").score_pooling == "top_1%"
    assert build().score_pooling == "max"
    with pytest.raises(ValueError, match="leave score out"):
        build(score="top", score_pooling="max")


@pytest.mark.parametrize(
    "wrong", [{"gamma": -1}, {"drawing": "dots"}, {"score": "mean"}, {"lr_decay": 0.0}, {"lr_decay": 1.1}]
)
def test_values_that_cannot_be_are_named_with_what_is_expected(build, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}.*{value}.*expected"):
        build(**wrong)
