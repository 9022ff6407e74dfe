"""Flows judged on images held out of training: their loss is logged, and the flows of its lowest value are kept."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback

import extensions

FLOWS = {
    "Fastflow": {"flow_steps": 2, "hidden_ratio": 0.25},
    "Cflow": {"coupling_blocks": 2, "condition_vector": 16},
}


class Watch(Callback):
    """Spoils what was learned from the fourth epoch on; keeps it and the validation loss of each epoch."""

    def __init__(self):
        self.learned, self.losses = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.current_epoch >= 3:
            for parameter in pl_module.parameters():
                parameter.data += parameter.requires_grad * torch.randn_like(parameter)

    def on_validation_end(self, trainer, pl_module):
        self.learned.append(learned(pl_module))
        self.losses.append(float(trainer.callback_metrics["val_loss"]))


def learned(model):
    return torch.cat([tensor.detach().flatten().clone() for tensor in model.parameters() if tensor.requires_grad])


@pytest.mark.parametrize("name", list(FLOWS))
def test_flows_of_the_lowest_held_out_loss_are_kept(name, bare, engine, tiny_folder):
    torch.manual_seed(0)
    model = getattr(extensions, name)("test_resnet", pre_trained=False, image_size=64, **FLOWS[name], **bare)
    watch = Watch()
    trained = engine(max_epochs=5, callbacks=[watch], limit_val_batches=None, num_sanity_val_steps=0)
    trained.fit(model, datamodule=tiny_folder(val_split_mode="from_train", val_split_ratio=0.3))
    assert len(set(watch.losses)) == 5
    best = min(range(5), key=watch.losses.__getitem__)
    assert best < 3
    assert torch.equal(learned(model), watch.learned[best])


@pytest.mark.parametrize("name", list(FLOWS))
def test_without_held_out_images_there_is_no_such_loss(name, bare, engine, tiny_folder):
    model = getattr(extensions, name)("test_resnet", pre_trained=False, image_size=64, **FLOWS[name], **bare)
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    assert "val_loss" not in trained.trainer.callback_metrics
