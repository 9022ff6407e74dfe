"""An image's score from its map, in torch, against NumPy; and what a checkpoint of other scores brings."""

import copy
import pickle

import numpy as np
import pytest
import torch
from anomalib.data import InferenceBatch
from torch import nn

import extensions
from extensions.data.score_pooling import ScorePooling, pooled_score
from extensions.models.common.inside import Inside
from extensions.models.common.score_pooling import pool_scores, pooled_scores

NAMES = ("max", "top_5", "top_300", "top_2.5%", "top_100%")
MAPS = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 12, 20)).astype(np.float32))


class Network(nn.Module):
    """Scores nothing; its map is the image."""

    def forward(self, images: torch.Tensor) -> InferenceBatch:
        return InferenceBatch(pred_score=torch.zeros(len(images)), anomaly_map=images)


def by_numpy(name: str, inside: torch.Tensor | None = None) -> torch.Tensor:
    seen = [None] * len(MAPS) if inside is None else list(inside.expand_as(MAPS)[:, 0].numpy() > 0)
    pooling = ScorePooling.named(name)
    return torch.tensor([pooled_score(one[0].numpy(), pooling, mask) for one, mask in zip(MAPS, seen, strict=True)])


@pytest.mark.parametrize("name", NAMES)
def test_torch_scores_as_numpy_does(name):
    torch.testing.assert_close(pooled_scores(MAPS, ScorePooling.named(name)), by_numpy(name), check_dtype=False)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_is_inside_counts_for_all_images_or_for_each(name):
    fixed = torch.zeros(1, 1, 12, 20)
    fixed[..., 2:9, 3:11] = 1
    found = pooled_scores(MAPS, ScorePooling.named(name), Inside(fixed, is_fixed=True))
    torch.testing.assert_close(found, by_numpy(name, fixed), check_dtype=False)
    each = torch.zeros_like(MAPS)
    each[0, 0, :3], each[1, 0, :, 5:9], each[2, 0, 4, 4] = 1, 1, 1  # and of the last image nothing
    found = pooled_scores(MAPS, ScorePooling.named(name), Inside(each, is_fixed=False))
    torch.testing.assert_close(found, by_numpy(name, each), check_dtype=False)
    assert found[3] == 0


def test_a_network_is_told_once_and_copies_keep_it():
    network = Network().eval()
    pool_scores(network, ScorePooling.named("top_5"))
    pool_scores(network, ScorePooling.named("top_10"))
    assert len(network._forward_hooks) == 1
    expected = by_numpy("top_10").float()
    for one in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        torch.testing.assert_close(one(MAPS).pred_score, expected)
    pool_scores(network, None)
    assert network(MAPS).pred_score.tolist() == [0, 0, 0, 0]


def small(**arguments: object) -> extensions.Padim:
    return extensions.Padim("test_resnet", pre_trained=False, image_size=32, n_features=8, **arguments)


def test_reweighting_is_patchcores_and_any_other_name_is_refused():
    with pytest.raises(ValueError, match=r"'reweighted', which is PatchCore's: Padim has no neighbors .*expected max"):
        small(score_pooling="reweighted")
    with pytest.raises(ValueError, match=r"score_pooling is 'top'; expected max, .*, or reweighted"):
        extensions.Patchcore("test_resnet", pre_trained=False, image_size=32, score_pooling="top")
    with pytest.raises(ValueError, match="'top_5', but AutoencoderOcSvm scores latents"):
        extensions.AutoencoderOcSvm(image_size=32).set_score_pooling("top_5")


@pytest.fixture
def checkpoint(engine, tiny_folder, bare):
    """Of a PaDiM that scores by the maximum, with thresholds that anomalib found."""
    torch.manual_seed(0)
    trained = engine()
    trained.fit(small(evaluator=False, visualizer=False), datamodule=tiny_folder(val_split_mode="same_as_test"))
    return trained.best_model_path


def test_thresholds_of_other_scores_are_forgotten_and_found_anew(checkpoint, engine, tiny_folder):
    quiet = {"evaluator": False, "visualizer": False}
    data = {"val_split_mode": "same_as_test"}
    kept = extensions.Padim.load_from_checkpoint(checkpoint, **quiet)
    assert kept.post_processor._image_threshold.isfinite()
    other = extensions.Padim.load_from_checkpoint(checkpoint, score_pooling="top_10%", **quiet)
    assert other.post_processor._image_threshold.isnan()
    assert other.post_processor.image_max.isnan()
    assert torch.equal(other.post_processor.pixel_threshold, kept.post_processor.pixel_threshold)
    with pytest.raises(ValueError, match=r"another score_pooling than top_10%.*engine.validate.*before test"):
        engine().test(other, datamodule=tiny_folder(**data))
    with pytest.raises(
        ValueError, match="before predict"
    ):  # as the command line has it: the model, then its checkpoint
        engine().predict(small(score_pooling="top_10%"), datamodule=tiny_folder(**data), ckpt_path=checkpoint)
    engine().validate(other, datamodule=tiny_folder(**data))
    engine().test(other, datamodule=tiny_folder(**data))
    assert other.post_processor.image_threshold < kept.post_processor.image_threshold


@pytest.mark.parametrize("old", [{}, {"score": "top"}])
def test_a_checkpoint_from_before_there_was_a_pooling_is_what_it_was(old, engine, tiny_folder, images, raw_scores):
    kind = extensions.Cdo if old else extensions.Padim
    own = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32, "evaluator": False, "visualizer": False}
    trained, model = engine(), kind(**own, **old)
    trained.fit(model, datamodule=tiny_folder(val_split_mode="same_as_test"))
    stored = torch.load(trained.best_model_path, weights_only=False)
    del stored["score_pooling"], stored["hyper_parameters"]["score_pooling"]
    torch.save(stored, trained.best_model_path)
    again = kind.load_from_checkpoint(trained.best_model_path)
    torch.testing.assert_close(raw_scores(again, images).pred_score, raw_scores(model, images).pred_score)
    assert again.score_pooling == ("top_1%" if old else "max")
    assert torch.equal(again.post_processor._image_threshold, model.post_processor._image_threshold)
    assert not again.lacks_image_threshold
    other = kind.load_from_checkpoint(trained.best_model_path, score_pooling="top_10")
    assert other.lacks_image_threshold


def test_a_trained_model_takes_another_pooling_and_its_checkpoint_says_so(checkpoint, images, raw_scores):
    model = extensions.Padim.load_from_checkpoint(checkpoint)
    highest = raw_scores(model, images).pred_score
    model.set_score_pooling("max")
    assert model.post_processor._image_threshold.isfinite()  # nothing has changed
    model.set_score_pooling("top_50%")
    assert model.post_processor._image_threshold.isnan()
    assert (raw_scores(model, images).pred_score < highest).all()
    assert model.hparams["score_pooling"] == "top_50%"
    model.set_score_pooling(None)
    torch.testing.assert_close(raw_scores(model, images).pred_score, highest)
