"""No TF32 and no half precision inside the block, and afterwards what was asked for before."""

import lightning.pytorch as lightning
import pytest
import torch
from torch.utils.data import DataLoader

from extensions.runtime.float32 import exact_float32, scoring_in_float32


@pytest.mark.parametrize("before", [True, False])
def test_convolutions_are_exact_inside_alone(monkeypatch, before) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    with pytest.raises(KeyError), exact_float32():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 is before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_convolution_on_a_gpu_is_that_of_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    images, kernels = (torch.randn(size, generator=generator) for size in ((2, 64, 32, 32), (64, 64, 3, 3)))
    expected = torch.nn.functional.conv2d(images.double(), kernels.double()).float()
    with exact_float32():
        found = torch.nn.functional.conv2d(images.cuda(), kernels.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


class _Scores(lightning.LightningModule):
    """Notes in which type a layer computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.types: list[torch.dtype] = []

    def test_step(self, batch: torch.Tensor) -> None:
        self.types.append(self.layer(batch).dtype)


@pytest.mark.parametrize(
    ("precision", "inside"), [("bf16-mixed", torch.float32), ("bf16-true", torch.bfloat16), ("32-true", torch.float32)]
)
def test_a_test_in_the_block_scores_in_the_type_of_the_weights(tmp_path, precision, inside) -> None:
    outside = torch.float32 if precision == "32-true" else torch.bfloat16
    trainer = lightning.Trainer(
        accelerator="cpu", precision=precision, logger=False, default_root_dir=tmp_path, enable_progress_bar=False
    )
    model, images = _Scores(), DataLoader(torch.ones(1, 4), batch_size=1)
    with scoring_in_float32(trainer):
        trainer.test(model, images, verbose=False)
    trainer.test(model, images, verbose=False)
    assert model.types == [inside, outside]
