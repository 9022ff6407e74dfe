"""Stopping, going on, failing: what a pretraining leaves in its folder."""

import json
import subprocess
import sys

import pytest
import torch

from extensions.configuration import ConfigError
from extensions.self_supervised.__main__ import main
from extensions.self_supervised.fit.callbacks import NotFiniteError, SafeCheckpoint
from extensions.self_supervised.fit.pretraining import CHECKPOINT, CURVE, ENCODER, RECORD, pretrain, read_pretraining
from extensions.self_supervised.methods.method import Method


class PowerError(Exception):
    pass


def stop_after(run, n_steps: int) -> None:
    """Make a run fail after some steps, as if the power had gone."""
    whole = run.method.training_step

    def step(batch, *args, **kwargs):
        if run.method.global_step == n_steps:
            raise PowerError
        return whole(batch, *args, **kwargs)

    run.method.training_step = step


def logged(run) -> dict[int, float]:
    """The loss of each step, as the run goes on."""
    losses: dict[int, float] = {}
    whole = run.method.training_step

    def step(batch, *args, **kwargs):
        loss = whole(batch, *args, **kwargs)
        losses[run.method.global_step] = float(loss)
        return loss

    run.method.training_step = step
    return losses


@pytest.fixture(scope="module")
def uninterrupted(asked, tmp_path_factory):
    """The loss of each step, and the curve, of a run that was not stopped."""
    run = asked()
    return logged(run), pretrain(run, tmp_path_factory.mktemp("whole"))["curve"]


@pytest.mark.parametrize("n_steps", [2, 3, 4])  # within the first epoch, at its end, within the second
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(n_steps, uninterrupted, asked, tmp_path):
    expected, curve = uninterrupted
    first = asked(checkpoint_every_n_steps=1)
    stop_after(first, n_steps)
    with pytest.raises(PowerError):
        pretrain(first, tmp_path / "parts")
    second = asked(checkpoint_every_n_steps=1)
    found = logged(second)
    record = pretrain(second, tmp_path / "parts")
    assert curve[0]["train_loss"] == pytest.approx(sum(expected[step] for step in range(3)) / 3, rel=1e-3)

    assert record["steps"] == 6
    assert [row["epoch"] for row in record["curve"]] == [1, 2]
    for name in ("train_loss", "embedding_spread"):  # the row of the epoch that was stopped is of all of its batches
        assert [row[name] for row in record["curve"]] == pytest.approx([row[name] for row in curve], rel=1e-3)
    assert found == pytest.approx({step: expected[step] for step in range(n_steps, 6)}, rel=1e-3)


def test_a_finished_run_is_not_trained_again(asked, tmp_path):
    pretrain(asked(), tmp_path)
    again = pretrain(asked(), tmp_path)
    assert again["steps"] == 6
    longer = pretrain(asked(trainer={"max_epochs": 3}), tmp_path)
    assert (longer["steps"], len(longer["curve"])) == (9, 3)


def test_a_loss_that_is_no_number_stops_and_leaves_the_last_good_checkpoint(asked, tmp_path):
    run = asked(checkpoint_every_n_steps=1)
    whole = run.method.loss

    def loss(batch):
        value, embeddings = whole(batch)
        return (value * float("nan") if run.method.global_step == 2 else value), embeddings

    run.method.loss = loss
    with pytest.raises(NotFiniteError, match=r"the loss is nan at step 2; .*last\.ckpt holds the last good state"):
        pretrain(run, tmp_path)
    stored = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert stored["global_step"] == 2
    assert all(tensor.isfinite().all() for tensor in stored["state_dict"].values())


def test_parameters_that_are_no_numbers_are_never_saved(asked, tmp_path):
    run = asked(checkpoint_every_n_steps=1)

    def spoil(optimizer):
        if run.method.global_step == 3:
            run.method.encoder.conv1.weight.grad.fill_(float("inf"))

    run.method.on_before_optimizer_step = spoil
    with pytest.raises(NotFiniteError):
        pretrain(run, tmp_path)
    stored = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert stored["global_step"] == 3
    assert all(tensor.isfinite().all() for tensor in stored["state_dict"].values())


def test_a_full_disk_leaves_the_earlier_checkpoint(asked, tmp_path, monkeypatch):
    from lightning.pytorch import Trainer

    whole = Trainer.save_checkpoint

    def save(trainer, path, *args, **kwargs):
        if trainer.global_step == 2:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        whole(trainer, path, *args, **kwargs)

    monkeypatch.setattr(Trainer, "save_checkpoint", save)
    with pytest.raises(OSError, match=r"could not be written at step 2 .*an earlier step is still there"):
        pretrain(asked(checkpoint_every_n_steps=1), tmp_path)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == 1
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_slow_run_is_saved_by_the_clock(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(SafeCheckpoint.__init__, "__kwdefaults__", {"every_s": 0})
    run = asked(checkpoint_every_n_steps=1000)
    stop_after(run, 4)
    with pytest.raises(PowerError):
        pretrain(run, tmp_path)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == 4


def test_collapse_is_told_and_no_success(asked, tmp_path, caplog, monkeypatch):
    def loss(self, batch):
        features = self.encoder(batch["first"])
        return features.mean() * 0, torch.ones_like(features)

    from extensions.self_supervised import SimCLR

    monkeypatch.setattr(SimCLR, "loss", loss)
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(asked().config))
    assert main(["fit", "--config", str(config), "--output", str(tmp_path / "out")]) == 1
    assert "collapsed: in epoch 1" in caplog.text
    assert json.loads((tmp_path / "out" / RECORD).read_text())["collapsed_at"] == 1


def test_a_checkpoint_of_another_run_is_not_gone_on_from(asked, tmp_path):
    pretrain(asked(trainer={"max_epochs": 1}), tmp_path)
    with pytest.raises(ConfigError, match=r"is of 'resnet18', the configuration names 'resnet10t'"):
        pretrain(asked(model={"backbone": "resnet10t"}), tmp_path)
    with pytest.raises(ConfigError, match=r"other settings of model, data, trainer or seed.*--restart"):
        pretrain(asked(model={"temperature": 0.3}), tmp_path)
    pretrain(asked(model={"temperature": 0.3}, trainer={"max_epochs": 1}), tmp_path, restart=True)
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match="not a checkpoint"):
        pretrain(asked(), tmp_path)


@pytest.mark.slow
def test_two_processes_share_an_epoch(asked, tmp_path):
    config = tmp_path / "simclr.yaml"
    config.write_text(json.dumps(asked(data={"batch_size": 3}, trainer={"devices": 2, "strategy": "ddp"}).config))
    command = [sys.executable, "-m", "extensions.self_supervised", "fit", "--config", str(config)]
    done = subprocess.run([*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SimCLR of resnet18") == 1
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert (record["world_size"], record["steps"]) == (2, 4)  # 12 images are two batches of 3 for each of two


def test_the_command_writes_curve_encoder_and_record(asked, tmp_path, capsys):
    config = tmp_path / "simclr.yaml"
    config.write_text(json.dumps(asked(trainer={"accumulate_grad_batches": 3}).config))
    assert main(["fit", "--config", str(config), "--output", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["steps"] == 2  # three batches a step
    assert record["images"]["classes"] == {"spots": 6, "stripes": 6}
    assert (tmp_path / "out" / CURVE).read_text().startswith("epoch,step,train_loss,embedding_spread")
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / ENCODER).stat().st_size > 40e6
    said = capsys.readouterr()
    assert "SimCLR of resnet18: 2 epochs" in said.out
    last = said.out.splitlines()[-1]
    assert last.startswith(f"pretrained 2 epochs: open {tmp_path / 'out' / 'curve.png'}; next: ")
    assert f"pretrain export --output {tmp_path / 'out'} --config {config}" in last
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["epoch 1 of 2", "epoch 2 of 2"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"trainer": {}}, "needs an end"),
        ({"seed": -1}, "seed: found -1"),
        ({"modle": {}}, "unknown key 'modle'"),
        ({"trainer": {"max_epoch": 2}}, "trainer: unknown argument 'max_epoch'; did you mean"),
        ({"trainer": {"max_epochs": 1, "callbacks": [{"class_path": "Nothing"}]}}, "Nothing"),
        ({"trainer": {"max_epochs": 0}}, "trainer.max_epochs is 0; expected a whole number"),
        ({"trainer": {"max_epochs": "many"}}, "trainer.max_epochs: expected null or int, found many"),
        ({"trainer": {"max_steps": 1.5}}, "trainer.max_steps: expected int, found 1.5"),
        ({"trainer": {"max_epochs": 1, "overfit_batches": -1}}, "Lightning refuses these arguments"),
        (
            {"trainer": {"max_epochs": 1, "accumulate_grad_batches": "x"}},
            "trainer.accumulate_grad_batches: expected int, found x",
        ),
        ({"checkpoint_every_n_steps": 0}, "checkpoint_every_n_steps: found 0"),
        ({"data": None}, "data: found None, expected a class_path"),
    ],
)
def test_configurations_that_cannot_be_are_refused_with_their_file(changed, expected, asked, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(asked().config | changed))
    assert main(["fit", "--config", str(config), "--output", str(tmp_path / "out")]) == 1
    assert expected in capsys.readouterr().err


def test_a_network_of_one_input_size_is_refused_with_the_size_it_was_given(asked, tmp_path):
    with pytest.raises(ConfigError, match=r"'vit_tiny_patch16_224' cannot take images of \(32, 32\) px .*image_size"):
        pretrain(asked(model={"backbone": "vit_tiny_patch16_224"}), tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_file_in_the_place_of_the_output_folder_is_named(asked, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(json.dumps(asked().config))
    (tmp_path / "out").write_text("mine")
    assert main(["fit", "--config", str(tmp_path / "c.yaml"), "--output", str(tmp_path / "out")]) == 1
    assert f"{tmp_path / 'out'}: file exists, where a folder is expected" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_what_is_no_method_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.yaml: .*Patchcore"):
        config = {"model": {"class_path": "extensions.Patchcore"}, "data": {"class_path": "ImageFolders"}}
        read_pretraining(config, tmp_path / "x.yaml")
    assert issubclass(Method, torch.nn.Module)


def test_neighbors_among_labelled_images_are_counted_when_due_and_change_nothing(asked, parts, tmp_path):
    for split in ("train", "test"):
        (tmp_path / "labelled").mkdir(exist_ok=True)
        (tmp_path / "labelled" / split).symlink_to(parts)
    plain, watched = asked(), asked(knn={"root": str(tmp_path / "labelled"), "every_n_epochs": 2})
    pretrain(plain, tmp_path / "plain")
    curve = pretrain(watched, tmp_path / "watched")["curve"]
    assert 0 <= curve[0]["knn_top1"] <= 1
    assert "knn_top1" not in curve[1]
    found, expected = (run.method.encoder.conv1.weight for run in (watched, plain))
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)
    with pytest.raises(ConfigError, match="knn: found"):
        asked(knn={"folder": "x"})
