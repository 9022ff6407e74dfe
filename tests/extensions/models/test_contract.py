"""What every model promises: fit, test, checkpoint and reload through anomalib's Engine, and errors that help."""

import inspect

import pytest
import torch
from anomalib.models import AnomalibModule
from lightning import seed_everything

import extensions
from extensions.backbones import WeightsNotFoundError
from extensions.models.common import backbone_mixin
from extensions.models.common.checkpoint_settings import COMPONENTS, differences

ON_BACKBONES = {
    "Patchcore": {"coreset_sampling_ratio": 0.05, "num_neighbors": 3},
    "Padim": {"n_features": 20},
    "Dfm": {},
    "Cflow": {"coupling_blocks": 2, "condition_vector": 16},
    "Stfpm": {},
    "ContrastiveStfpm": {"projection_size": 8},
    "Cdo": {},
    "ReverseDistillation": {},
    "Fastflow": {"flow_steps": 2, "hidden_ratio": 0.25},
    "BackboneOcSvm": {"nu": 0.5},
    "RegAd": {},
}
WITHOUT_BACKBONE = {
    "ConvAutoencoder": {"latent_dim": 4},
    "AutoencoderOcSvm": {"latent_dim": 4, "nu": 0.5},
    "Ensemble": {},
}
MEMBERS = ("Patchcore", "Padim")  # of the Ensemble, which has no image size of its own
MODELS = ON_BACKBONES | WITHOUT_BACKBONE
WITHOUT_MAP = {"BackboneOcSvm"}
SCORED_OTHERWISE = {"BackboneOcSvm", "AutoencoderOcSvm", "Ensemble"}  # not by their map; its members may be
# Another value for each init argument but those of the backbone, which are compared on their own.
OF_ALL = {"image_size": 96, "center_crop": 32}
BY_MAP = {"score_pooling": "top_7"}
RATES = {"lr": 0.5, "weight_decay": 0.5}
OTHERWISE = {
    "Patchcore": {
        "coreset_sampling_ratio": 0.5, "coreset": "density", "coreset_start": "center", "coreset_projection": False,
        "max_memory_bytes": 0,
        "num_neighbors": 1, "neighborhood": 5, "precision": "float16", "support_views": True,
        "foreground": "pca", "foreground_threshold": 1.0, "unit_patches": True,
    },
    "Padim": {"n_features": 10, "support_views": True},
    "Dfm": {"pooling_kernel_size": 1, "pca_level": 0.5},
    "Cflow": {
        "fiber_batch_size": 7, "lr": 0.5, "lr_schedule": "cosine", "decoder": "other", "condition_vector": 8,
        "coupling_blocks": 1, "clamp_alpha": 1.0, "permute_soft": True,
    },
    "Stfpm": {"student_backbone": "resnet34", "momentum": 0.1, "recalibrate": True, **RATES},
    "ContrastiveStfpm": {
        "contrastive_weight": 0, "projection_size": 4, "temperature": 1.0, "queue_size": 3,
        "views": {"min_scale": 0.5}, "momentum": 0.1, **RATES,
    },
    "Cdo": {
        "gamma": 0.0, "margin": False, "overlap": False, "drawing": "nsa", "score": "top", "sigma": 2.0,
        "lr_decay": 1.0, "recalibrate": True, **RATES,
    },
    "ReverseDistillation": {"anomaly_map_mode": "multiply", "lr": 0.5},
    "Fastflow": {"flow_steps": 1, "conv3x3_only": True, "hidden_ratio": 0.5, "lr_schedule": "cosine", **RATES},
    "BackboneOcSvm": {"nu": 0.1, "gamma": 1.0},
    "RegAd": {"registration": "none.safetensors", "transformer": "affine", "support_views": False},
    "ConvAutoencoder": {"latent_dim": 8, "loss": "ssim", **RATES},
    "AutoencoderOcSvm": {
        "latent_dim": 8, "loss": "ssim", "nu": 0.1, "gamma": 1.0, "autoencoder_checkpoint": "none.ckpt", **RATES,
    },
}  # fmt: skip
OTHERWISE["Ensemble"] = {
    "members": [{"class_path": f"extensions.{name}", "init_args": {}} for name in MEMBERS], "combine": "maximum",
    "held_out_ratio": 0.5, "seed": 3,
}  # fmt: skip
on_backbones = pytest.mark.parametrize("name", list(ON_BACKBONES), indirect=True, scope="module")


def build(name: str, bare: dict, backbone: str = "test_resnet", **init_args: object) -> AnomalibModule:
    if name == "Ensemble":
        on = {"image_size": 64, **init_args, "backbone": backbone, "pre_trained": False}
        entries = [{"class_path": f"extensions.{one}", "init_args": on | ON_BACKBONES[one]} for one in MEMBERS]
        return extensions.Ensemble(entries, **bare)
    settings = {"image_size": 64, **MODELS[name]}
    if name in ON_BACKBONES:
        settings |= {"backbone": backbone, "pre_trained": False}
    return getattr(extensions, name)(**(settings | bare | init_args))


def assert_equal_predictions(predicted, expected) -> None:
    torch.testing.assert_close(predicted.pred_score, expected.pred_score, atol=1e-5, rtol=0)
    if expected.anomaly_map is None:
        assert predicted.anomaly_map is None
    else:
        torch.testing.assert_close(predicted.anomaly_map, expected.anomaly_map, atol=1e-5, rtol=0)


def missing_weights(*_: object) -> None:
    msg = "no weights for backbone 'test_resnet': nowhere"
    raise WeightsNotFoundError(msg)


@pytest.fixture(scope="module", params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fitted(name, bare, engine, tiny_folder):
    """A model that was fitted and its checkpoint; never changed by a test."""
    seed_everything(0)
    model = build(name, bare)
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    return model, trained.best_model_path


def test_every_exported_model_is_under_this_contract():
    exports = {name: getattr(extensions, name) for name in extensions.__all__}
    assert {n for n, one in exports.items() if isinstance(one, type) and issubclass(one, AnomalibModule)} == set(MODELS)


def test_scores_and_maps_are_finite_and_of_the_promised_shapes(fitted, images, raw_scores):
    predicted = raw_scores(fitted[0], images)
    assert predicted.pred_score.shape == (8,)
    assert predicted.pred_score.isfinite().all()
    if fitted[0].name in WITHOUT_MAP:
        assert predicted.anomaly_map is None
    else:
        assert predicted.anomaly_map.shape == (8, 1, 64, 64)
        assert predicted.anomaly_map.isfinite().all()


def test_checkpoint_reloads_without_looking_for_weights(
    name, fitted, images, engine, tiny_folder, monkeypatch, bare, raw_scores
):
    model, checkpoint = fitted
    expected = raw_scores(model, images)
    monkeypatch.setattr(backbone_mixin.backbones, "load_backbone_weights", missing_weights)
    again = type(model).load_from_checkpoint(checkpoint, **bare)
    assert_equal_predictions(raw_scores(again, images), expected)
    if name in ON_BACKBONES:
        assert (again.backbone, again.layers) == (model.backbone, model.layers)

    wanting = {"pre_trained": True} if name in ON_BACKBONES else {}
    deferred = build(name, bare, **wanting)  # as anomalib's CLI does it: the model first, then its checkpoint
    batches = engine().predict(deferred, datamodule=tiny_folder(), ckpt_path=checkpoint)
    scores = {path: score for batch in batches for path, score in zip(batch.image_path, batch.pred_score, strict=True)}
    in_order = torch.stack([scores[path] for path in sorted(scores)])
    rtol = 1e-6 if name == "Ensemble" else 0  # hundreds of deviations of two images, which float32 tells to 1e-5
    torch.testing.assert_close(in_order, expected.pred_score, atol=1e-5, rtol=rtol)


def test_checkpoint_holds_plain_data_only(fitted):
    stored = torch.load(fitted[1], weights_only=True)
    if fitted[0].name in WITHOUT_BACKBONE:
        assert "backbone" not in stored
        return
    assert stored["backbone"] == {"name": "test_resnet", "layers": fitted[0].layers, "weights": None}
    assert stored["hyper_parameters"]["layers"] == fitted[0].layers


@on_backbones
def test_missing_weights_are_an_error_at_the_first_use_not_before(name, engine, tiny_folder, monkeypatch, bare):
    monkeypatch.setattr(backbone_mixin.backbones, "load_backbone_weights", missing_weights)
    model = build(name, bare, pre_trained=True)
    with pytest.raises(WeightsNotFoundError, match="nowhere"):
        engine().fit(model, datamodule=tiny_folder())
    with pytest.raises(WeightsNotFoundError, match="nowhere"):
        model(torch.zeros(1, 3, 64, 64))


@on_backbones
def test_checkpoint_of_other_layers_or_backbone_is_refused(fitted, bare):
    for other in ({"layers": ["layer2"]}, {"backbone": "resnet34"}):
        with pytest.raises(ValueError, match="build it with backbone='test_resnet'"):
            type(fitted[0]).load_from_checkpoint(fitted[1], **(other | bare))


def test_every_init_argument_is_compared_with_the_checkpoint_or_changes_no_score(
    name, fitted, images, bare, raw_scores
):
    model, checkpoint = fitted
    kind, others = (
        type(model),
        ({} if name == "Ensemble" else OF_ALL) | OTHERWISE[name] | ({} if name in SCORED_OTHERWISE else BY_MAP),
    )
    only_for_fit, only_at_use = (
        frozenset().union(*(vars(parent).get(which, ()) for parent in kind.__mro__))
        for which in ("only_for_fit", "only_at_use")
    )
    asked = set(inspect.signature(kind).parameters) - COMPONENTS - {"backbone", "layers", "weights", "pre_trained"}
    assert set(others) == asked, "give another value of each init argument"

    stored = torch.load(checkpoint, weights_only=True)["hyper_parameters"]
    assert differences(kind, model.hparams, stored) == {}
    for argument in asked - only_for_fit - only_at_use:
        found = differences(kind, model.hparams | {argument: others[argument]}, stored)
        assert found == {argument: (stored[argument], others[argument])}

    free = {argument: others[argument] for argument in asked & only_for_fit}
    again = kind.load_from_checkpoint(checkpoint, **bare, **free)
    assert_equal_predictions(raw_scores(again, images), raw_scores(model, images))


def test_image_score_is_the_mean_of_the_maps_highest_pixels_whatever_the_checkpoint_had(
    name, fitted, images, bare, raw_scores
):
    model, checkpoint = fitted
    if name in SCORED_OTHERWISE:
        with pytest.raises(TypeError, match="score_pooling"):
            type(model)(**bare, score_pooling="max")
        return
    expected = raw_scores(model, images).anomaly_map
    highest = expected.flatten(1).sort(dim=1, descending=True).values
    for pooling, n in (("max", 1), ("top_100", 100), ("top_2.5%", 102)):  # of 4096 px
        again = type(model).load_from_checkpoint(checkpoint, score_pooling=pooling, **bare)
        found = raw_scores(again, images)
        torch.testing.assert_close(found.anomaly_map, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.pred_score, highest[:, :n].mean(dim=1), atol=1e-4, rtol=1e-4)


def test_checkpoint_of_another_image_size_is_refused_before_it_is_used(name, fitted, bare, engine, tiny_folder):
    if name == "Ensemble":  # sizes are its members', see `ensemble/test_lightning_model.py`
        return
    said = "image_size=64, the model of image_size=96: build it with image_size=64"
    with pytest.raises(ValueError, match=said):
        engine().predict(build(name, bare, image_size=96), datamodule=tiny_folder(), ckpt_path=fitted[1])
    with pytest.raises(ValueError, match=said):
        type(fitted[0]).load_from_checkpoint(fitted[1], image_size=96, **bare)


@on_backbones
def test_wrong_names_list_the_right_ones(name, bare):
    with pytest.raises(ValueError, match="layer3"):
        build(name, bare, layers=["layer2", "layer33"])
    with pytest.raises(ValueError, match="resnet18"):
        build(name, bare, "resnet81")


def test_scores_do_not_depend_on_the_other_images_of_a_batch(fitted, images, raw_scores):
    together = raw_scores(fitted[0], images)
    alone = torch.cat([raw_scores(fitted[0], image[None]).pred_score for image in images])
    torch.testing.assert_close(together.pred_score, alone, atol=1e-4, rtol=1e-4)


@on_backbones
def test_frozen_backbone_never_learns(fitted, name, bare):
    seed_everything(0)
    untouched = build(name, bare)
    extractors = [getattr(model.model, model.extractor_name).state_dict() for model in (fitted[0], untouched)]
    for key, tensor in extractors[0].items():
        assert torch.equal(tensor, extractors[1][key]), key


def test_preprocessing_and_other_backbone_are_restored_from_the_checkpoint(name, engine, tiny_folder, bare):
    model = build(name, bare, "tf_efficientnet_lite0", image_size=[72, 80], center_crop=64)
    trained = engine(limit_train_batches=1)
    trained.fit(model, datamodule=tiny_folder())
    again = type(model).load_from_checkpoint(trained.best_model_path, **bare)
    resize, crop, *normalize = again.pre_processor.transform.transforms
    assert (list(resize.size), list(crop.size)) == ([72, 80], [64, 64])
    if name in WITHOUT_BACKBONE:
        assert normalize == []  # pixels in 0 to 1
    else:
        assert (list(normalize[0].mean), list(normalize[0].std)) == ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize("memory_bank_model", ["Patchcore", "Padim"])
def test_backbone_without_residual_names_fits_and_predicts(
    memory_bank_model, engine, tiny_folder, images, bare, raw_scores
):
    model = build(memory_bank_model, bare, "cspdarknet53")
    engine(limit_train_batches=1).fit(model, datamodule=tiny_folder())
    assert raw_scores(model, images).pred_score.isfinite().all()
