"""Registration: batches of one product, supports of the same one, a whole network that is exported."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import extensions
from extensions.backbones import WeightsError
from extensions.models.reg_ad.network import RegistrationNetwork
from extensions.self_supervised import ImageFolders
from extensions.self_supervised.__main__ import main
from extensions.self_supervised.fit.pretraining import ENCODER, RECORD, pretrain
from extensions.self_supervised.fit.views_sheet import GAP, views_sheet

RANDOM = {"pre_trained": False, "n_supports": 2}


class PowerError(Exception):
    pass


@pytest.fixture(scope="module")
def registered(asked, tmp_path_factory):
    """The first tensors, the folder and the record of a registration of two epochs of four batches."""
    run = asked("Registration", model=RANDOM, export={"tag": "registered", "license": "CC0-1.0"})
    before = {key: value.clone() for key, value in run.method.encoder.state_dict().items()}
    folder = tmp_path_factory.mktemp("registered")
    record = pretrain(run, folder)
    (folder / "parts.yaml").write_text(json.dumps(run.config))
    return before, folder, record


def one_class_data(parts: Path, *, workers: int = 0, epoch: int = 0, batch_size: int = 4) -> ImageFolders:
    """Shows of each image where it and three others are from: the mean of their pixels."""

    def show(image, label, other):
        others = torch.tensor([float(other().mean()) for _ in range(3)])
        return {"own": torch.tensor(float(image.mean())), "others": others, "label": torch.tensor(label)}

    data = ImageFolders([str(parts)], image_size=32, batch_size=batch_size, num_workers=workers)
    data.prepare(show, seed=0, one_class=True)
    data.dataset.epoch = epoch
    return data


def test_a_batch_is_of_one_class_and_so_are_the_others_which_are_never_the_image_itself(parts):
    data = one_class_data(parts)
    of_class = {label: set() for label in (0, 1)}
    batches = list(data.train_dataloader())
    for batch in batches:
        (label,) = batch["label"].unique().tolist()
        of_class[label].update(batch["own"].tolist())
    assert sorted(len(batch["own"]) for batch in batches) == [2, 2, 4, 4]
    assert [len(seen) for seen in of_class.values()] == [6, 6]
    for batch in batches:
        for own, others in zip(batch["own"].tolist(), batch["others"].tolist(), strict=True):
            assert len({own, *others}) == 4
            assert {*others} < of_class[int(batch["label"][0])]


def test_batches_and_others_are_drawn_anew_each_epoch_and_do_not_depend_on_workers(parts):
    def seen(**settings: int) -> list[list[float]]:
        loader = one_class_data(parts, **settings).train_dataloader()
        return [[*batch["own"].tolist(), *batch["others"].flatten().tolist()] for batch in loader]

    first = seen()
    assert seen(workers=2) == first
    assert seen(epoch=1) != first


@pytest.mark.parametrize("n_steps", [1, 5])
def test_a_registration_that_was_stopped_goes_on_as_if_it_had_not_been(n_steps, asked, registered, tmp_path):
    losses: dict[int, float] = {}

    def run(stop: int | None) -> None:
        one = asked("Registration", model=RANDOM, checkpoint_every_n_steps=1)
        whole = one.method.training_step

        def step(batch, *args, **kwargs):
            if one.method.global_step == stop:
                raise PowerError
            losses[one.method.global_step] = float(loss := whole(batch, *args, **kwargs))
            return loss

        one.method.training_step = step
        pretrain(one, tmp_path)

    with pytest.raises(PowerError):
        run(n_steps)
    run(None)
    curve = registered[2]["curve"]
    means = [sum(losses[step] for step in range(first, first + 4)) / 4 for first in (0, 4)]
    assert means == pytest.approx([row["train_loss"] for row in curve], rel=1e-3)


def test_backbone_transformers_and_head_learn_and_the_rate_falls_from_the_papers(registered):
    before, folder, record = registered
    from safetensors.torch import load_file

    after = load_file(folder / ENCODER)
    for name in ("extractor.feature_extractor.conv1.weight", "encoder.0.weight", "predictor.0.weight"):
        assert not torch.equal(before[name], after[name]), name
    moved = [name for name in after if "regression" in name and not torch.equal(before[name], after[name])]
    assert moved
    assert after.keys() == before.keys()
    assert record["curve"][0]["lr"] == pytest.approx(1e-4 / 2, rel=1e-3)
    assert record["curve"][1]["lr"] == pytest.approx(0, abs=1e-6)


def test_the_loss_is_that_of_queries_and_the_mean_of_their_supports(asked):
    method = asked("Registration", model=RANDOM).method.eval()
    batch = {name: torch.rand(3, 3, 32, 32) for name in ("query", "support_0", "support_1")}
    loss, features = method.loss(batch)
    network = method.encoder
    maps = {name: network(images) for name, images in batch.items()}
    mean = (maps["support_0"] + maps["support_1"]) / 2
    torch.testing.assert_close(loss, network.registration_loss(maps["query"], mean))
    assert features.shape == (3 * 2 * 2, 256)
    torch.testing.assert_close(features[1], maps["query"][0, :, 0, 1])


def test_images_that_test_detectors_are_refused_and_a_subfolder_leaves_them_out(parts, asked, tmp_path):
    root = tmp_path / "products"
    for product in ("cans", "nuts"):
        for folder, source in (("train/good", "spots"), ("test/bent", "stripes")):
            shutil.copytree(parts / source, root / product / folder)
    data = {"folders": [str(root)]}
    with pytest.raises(
        ValueError, match=r"products/cans/test/bent/0\.png is among the 24 images .*subfolder .*train/g"
    ):
        pretrain(asked("Registration", model=RANDOM, data=data), tmp_path / "out")
    run = asked("Registration", model=RANDOM, data=data | {"subfolder": "train/good", "leave_out": ["nuts"]})
    record = pretrain(run, tmp_path / "out")
    assert record["images"]["classes"] == {"cans": 6}


def test_a_class_of_too_few_images_is_refused(asked, tmp_path):
    with pytest.raises(ValueError, match=r"class 'spots' has 6 images; expected 7 or more.*n_supports"):
        pretrain(asked("Registration", model=RANDOM | {"n_supports": 6}), tmp_path)
    with pytest.raises(ValueError, match="n_supports is 0; expected 1 or more"):
        asked("Registration", model=RANDOM | {"n_supports": 0})


def test_the_sheet_shows_each_image_whole_beside_its_supports(asked):
    sheet = views_sheet(asked("Registration", model=RANDOM), n=5)
    assert sheet.shape == (5 * (32 + 2 * GAP), 3 * (32 + 2 * GAP), 3)


def test_the_whole_network_is_exported_and_its_backbone_is_one_by_name(registered, tmp_path, monkeypatch, capsys):
    from safetensors import safe_open
    from safetensors.torch import load_file

    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    config = registered[1] / "parts.yaml"
    assert main(["export", "--config", str(config), "--output", str(registered[1])]) == 0
    file = tmp_path / "resnet18.registered.safetensors"
    assert f"extensions.RegAd now takes `registration: {file.name}`" in capsys.readouterr().out
    source = load_file(registered[1] / ENCODER)
    network = RegistrationNetwork("resnet18")
    network.load_state_dict(load_file(file))
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, source[name], atol=1e-3, rtol=1e-3)
    with safe_open(file, "pt") as opened:
        told = {"backbone": "resnet18", "layers": '["layer1", "layer2", "layer3"]', "transformer": '"rotation_scale"'}
        assert opened.metadata() == told
    (row,) = yaml.safe_load((tmp_path / "manifest.yaml").read_text())
    assert row["how_made"].startswith("Registration on 12 images (spots 6, stripes 6")

    model = extensions.Padim("resnet18.registered", image_size=64, evaluator=False)
    found = model.model.feature_extractor.feature_extractor.state_dict()
    torch.testing.assert_close(found["conv1.weight"], network.extractor.feature_extractor.state_dict()["conv1.weight"])


def test_an_incomplete_network_is_not_exported(registered, tmp_path, monkeypatch):
    import hashlib

    from safetensors.torch import load_file, save_file

    from extensions.self_supervised.export.weights_file import export

    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path / "weights"))
    tensors = load_file(registered[1] / ENCODER)
    tensors.pop("predictor.0.weight")
    save_file(tensors, tmp_path / ENCODER)
    digest = hashlib.sha256((tmp_path / ENCODER).read_bytes()).hexdigest()
    (tmp_path / RECORD).write_text(json.dumps(registered[2] | {"encoder_sha256": digest}))
    with pytest.raises(WeightsError, match=r"1 tensors \(predictor\.0\.weight\)"):
        export(tmp_path, tag="a", license="", config=tmp_path / "c.yaml")
