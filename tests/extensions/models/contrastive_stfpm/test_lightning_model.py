"""ContrastiveStfpm: plain STPM at weight 0, else a student that also tells images apart; a val_loss to stop at."""

import copy
import itertools

import numpy as np
import pytest
import torch
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch.nn import functional as F

from extensions import ContrastiveStfpm, Folder, Stfpm
from extensions.models.contrastive_stfpm import lightning_model
from extensions.models.contrastive_stfpm.loss import contrastive_loss, matching_loss
from extensions.runtime.openvino_core import openvino_core

TINY = {"pre_trained": False, "image_size": 64}


class Averaged(torch.nn.Module):
    """The authors' loss in place of anomalib's."""

    def forward(self, teacher, student):
        return matching_loss(teacher, student).mean()


class Losses(Callback):
    """The loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, *_) -> None:
        self.values.append(outputs["loss"].item())


@pytest.fixture
def build(bare):
    def build_one(**arguments):
        seed_everything(0)
        return ContrastiveStfpm("test_resnet", **{**TINY, "projection_size": 8, **bare, **arguments})

    return build_one


@pytest.fixture
def held_out(tiny_root):
    """Our Folder with a quarter of its training images held out."""

    def build_one(**arguments):
        return Folder(
            **{
                "name": "tiny", "root": tiny_root, "normal_dir": "train/good", "normal_test_dir": "test/good",
                "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 3, "eval_batch_size": 4,
                "num_workers": 0, "val_split_mode": "from_train", "val_split_ratio": 0.25, **arguments,
            }
        )  # fmt: skip

    return build_one


def train(model, data, engine, **trainer):
    """Fit; the loss of each step and the state of the random generators afterwards."""
    losses = Losses()
    seed_everything(1)
    engine(callbacks=[losses, *trainer.pop("callbacks", [])], **trainer).fit(model, datamodule=data)
    return losses.values, (torch.get_rng_state(), np.random.get_state()[1])  # noqa: NPY002


def student(model):
    return model.model.student_model.state_dict()


def first_weights(model):
    return student(model)["feature_extractor.conv1.0.weight"]


def test_weight_0_is_plain_stfpm_to_the_last_bit(build, bare, tiny_folder, engine, monkeypatch):
    monkeypatch.setattr(lightning_model, "make_views", None)
    seed_everything(0)
    plain = Stfpm("test_resnet", **TINY, **bare, weight_decay=0.0001)
    plain.loss = Averaged()
    after_building = torch.get_rng_state()
    zero = build(contrastive_weight=0)
    assert torch.equal(torch.get_rng_state(), after_building)
    expected, state = train(plain, tiny_folder(), engine, max_epochs=2)
    found, other_state = train(zero, tiny_folder(), engine, max_epochs=2)
    assert found == expected
    assert all(itertools.starmap(np.array_equal, zip(state, other_state, strict=True)))
    assert student(zero).keys() == student(plain).keys()
    for key, value in student(plain).items():  # the statistics of batch normalization are among them
        assert torch.equal(student(zero)[key], value), key
    assert not any("projection" in key for key in zero.state_dict())


def test_views_change_the_student_but_neither_the_random_state_nor_what_a_seed_gives(build, tiny_folder, engine):
    zero, some = build(contrastive_weight=0), build(contrastive_weight=1.0)
    assert all(itertools.starmap(torch.equal, zip(student(zero).values(), student(some).values(), strict=True)))
    plain, state = train(zero, tiny_folder(), engine, max_epochs=2)
    found, other_state = train(some, tiny_folder(), engine, max_epochs=2)
    assert all(itertools.starmap(np.array_equal, zip(state, other_state, strict=True)))
    assert found[0] > plain[0]  # the same images and student, plus NT-Xent
    assert not torch.equal(first_weights(some), first_weights(zero))
    again = build(contrastive_weight=1.0)
    assert train(again, tiny_folder(), engine, max_epochs=2)[0] == found


def test_statistics_of_batch_normalization_are_those_of_the_unaugmented_images(build):
    model = build(contrastive_weight=1.0)
    images = torch.rand(4, 3, 64, 64)
    model.train()
    model.model.student_model(images)
    before = copy.deepcopy(student(model))
    model.model.project(torch.rand(4, 3, 64, 64))
    assert all(torch.equal(before[key], value) for key, value in student(model).items())
    model.model.student_model(images)
    assert not torch.equal(
        student(model)["feature_extractor.bn1.running_mean"], before["feature_extractor.bn1.running_mean"]
    )


def test_teacher_sees_each_image_once_a_step_and_never_a_view(build, tiny_folder, engine, monkeypatch):
    model = build(contrastive_weight=1.0)
    seen = []
    compute = type(model.model.teacher_model).compute
    monkeypatch.setattr(
        type(model.model.teacher_model), "compute", lambda self, images: seen.append(images) or compute(self, images)
    )
    train(model, tiny_folder(), engine, limit_val_batches=0)
    assert [len(images) for images in seen] == [4, 4]


def test_matching_loss_is_the_authors(build):
    teacher, found = ({"a": torch.rand(2, 5, 3, 4), "b": torch.rand(2, 7, 2, 2)} for _ in range(2))
    expected = torch.zeros(2)
    for layer in teacher:
        for image in range(2):
            t, s = (
                features[layer][image] / features[layer][image].norm(dim=0) for features in (teacher, found)
            )  # (C, h, w)
            expected[image] += ((t - s) ** 2).sum(dim=0).mean()
    torch.testing.assert_close(matching_loss(teacher, found), expected)


def test_nt_xent_equals_a_slow_loop():
    first, second = (F.normalize(torch.randn(3, 4)) for _ in range(2))
    z = torch.cat([first, second])
    terms = []
    for i in range(6):
        similar = torch.exp(z @ z[i] / 0.2)
        terms.append(-torch.log(similar[(i + 3) % 6] / (similar.sum() - similar[i])))
    loss = contrastive_loss(temperature=0.2, queue_size=0, projection_size=4)
    torch.testing.assert_close(loss(first, second), torch.stack(terms).mean())


def test_queue_holds_the_last_second_views_and_draws_nothing():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    loss = contrastive_loss(temperature=0.5, queue_size=6, projection_size=4)
    assert torch.equal(torch.get_rng_state(), state)
    batches = [F.normalize(torch.randn(3, 4)) for _ in range(3)]
    for second in batches:
        loss(torch.randn(3, 4, requires_grad=True), second)
    torch.testing.assert_close(loss.memory_bank.bank, torch.cat([batches[2], batches[1]]))


def test_queue_trains_and_must_be_shorter_than_the_training_set(build, tiny_folder, engine):
    losses, _ = train(build(contrastive_weight=1.0, queue_size=7), tiny_folder(), engine)
    assert np.isfinite(losses).all()
    with pytest.raises(ValueError, match="less than the 8 training images"):
        train(build(contrastive_weight=1.0, queue_size=8), tiny_folder(), engine)


def test_views_are_two_different_images_of_the_same_size_and_depend_on_the_seed_alone(build):
    model = build()
    images = model.pre_processor.transform(torch.rand(3, 3, 48, 64))
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    views = model.views(images, seed=3)
    assert views.shape == (2, 3, 3, 64, 64)
    assert not torch.equal(views[0], views[1])
    torch.rand(1)
    assert torch.equal(model.views(images, seed=3), views)
    assert not torch.equal(model.views(images, seed=4), views)
    torch.set_rng_state(state)
    model.views(images, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_views_without_any_augmentation_are_the_images(build):
    off = {"min_scale": 1.0, "cj_prob": 0.0, "random_gray_scale": 0.0, "gaussian_blur": 0.0, "hf_prob": 0.0}
    images = torch.rand(2, 3, 64, 64).mul(255).round() / 255  # lightly blurs 8-bit images
    images = build().pre_processor.transform(images)
    views = build(views=off).views(images, seed=0)
    for view in views:
        assert (view - images).abs().median() < 1e-4  # the crop may have another aspect


def test_embeddings_are_of_unit_length_and_independent_of_the_batch(build, engine, tiny_folder, images):
    model = build(contrastive_weight=1.0)
    train(model, tiny_folder(), engine)
    model.train()
    images = model.pre_processor.transform(images)
    embedded = model.embed(images)
    assert model.training
    assert model.model.student_model.training
    assert embedded.shape == (8, 8)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(torch.cat([model.embed(image[None]) for image in images]), embedded, atol=1e-5, rtol=0)
    assert (embedded[0] - embedded[1]).abs().max() > 1e-4


def test_embedding_without_a_head_says_what_is_needed(build):
    with pytest.raises(ValueError, match="contrastive_weight is 0"):
        build(contrastive_weight=0).embed(torch.zeros(1, 3, 64, 64))


def test_discrepancy_is_zero_for_a_student_that_equals_its_teacher(build, images):
    model = build(contrastive_weight=0)
    images = model.pre_processor.transform(images)
    assert model.discrepancy(images).shape == (8,)
    assert (model.discrepancy(images) > 1e-4).all()
    model.model.student_model.load_state_dict(model.model.teacher_model.state_dict())
    torch.testing.assert_close(model.discrepancy(images), torch.zeros(8), atol=1e-9, rtol=0)


def test_early_stopping_watches_held_out_training_images(build, held_out, engine):
    stop = EarlyStopping(monitor="val_loss", patience=1, min_delta=10.0)
    model = build()
    trained = engine(max_epochs=5, callbacks=[stop], limit_val_batches=None)
    trained.fit(model, datamodule=held_out())
    assert trained.trainer.current_epoch == 2
    assert torch.isfinite(stop.best_score)


def test_early_stopping_on_the_test_set_is_refused(build, held_out, engine):
    stop = EarlyStopping(monitor="val_loss")
    with pytest.raises(ValueError, match=r"val_split_mode is 'same_as_test'.*from_train"):
        engine(callbacks=[stop]).fit(build(), datamodule=held_out(val_split_mode="same_as_test"))


def test_student_of_the_lowest_val_loss_is_kept_and_stands_in_the_checkpoint(
    build, held_out, engine, bare, images, raw_scores, monkeypatch
):
    def scripted(teacher, student):  # validation comes without gradients, in one batch an epoch
        return matching_loss(teacher, student) if torch.is_grad_enabled() else torch.full((2,), next(val_losses))

    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def on_validation_end(self, trainer, pl_module):
            self.seen.append(first_weights(pl_module).clone())

    val_losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(lightning_model, "matching_loss", scripted)
    watch, model = Watch(), build()
    trained = engine(max_epochs=3, callbacks=[watch], limit_val_batches=None)
    trained.fit(model, datamodule=held_out())
    assert torch.equal(first_weights(model), watch.seen[1])
    assert not torch.equal(watch.seen[1], watch.seen[2])
    again = ContrastiveStfpm.load_from_checkpoint(trained.best_model_path, **bare)
    torch.testing.assert_close(raw_scores(again, images).pred_score, raw_scores(model, images).pred_score)


def test_second_fit_starts_from_a_new_student(build, tiny_folder, engine):
    model = build()
    first, _ = train(model, tiny_folder(), engine, max_epochs=6)
    second, _ = train(model, tiny_folder(), engine, max_epochs=6)
    assert first[-1] < second[0]
    assert len(second) == len(first)


def test_second_fit_of_the_same_engine_is_refused(build, tiny_folder, engine):
    model, trained = build(), engine()
    trained.fit(model, datamodule=tiny_folder())
    with pytest.raises(ValueError, match="use a new Engine"):
        trained.fit(model, datamodule=tiny_folder())


def test_exported_model_gives_the_same_scores_and_has_no_head(build, engine, tiny_folder, images, raw_scores, tmp_path):
    model, plain = build(projection_size=512), build(contrastive_weight=0)
    train(model, tiny_folder(), engine)
    images = images[:3]
    expected = raw_scores(model, images)
    sizes = {}
    for name, one in (("head", model), ("plain", plain)):
        path = one.to_openvino(tmp_path / name)
        sizes[name] = path.with_suffix(".bin").stat().st_size
    assert sizes["head"] == pytest.approx(sizes["plain"], rel=0.01)
    compiled = openvino_core().compile_model(
        tmp_path / "head/weights/openvino/model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled(images.numpy())
    np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map, atol=1e-4)
    np.testing.assert_allclose(np.ravel(found["pred_score"]), expected.pred_score, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contrastive_weight": -1}, "contrastive_weight is -1; expected 0 or more"),
        ({"temperature": 0}, "temperature is 0; expected more than 0"),
        ({"views": {"min_scal": 0.3}}, "'min_scal'; did you mean min_scale"),
        ({"views": {"normalize": None}}, "unknown setting 'normalize'"),
    ],
)
def test_wrong_numbers_are_refused(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
