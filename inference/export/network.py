"""A trained model as ONNX and OpenVINO network: images of any size and number in, raw scores and maps out."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from extensions.backbones.frozen import fix_to_size
from extensions.models.common.exported_layout import laid_out
from extensions.models.common.region_fill import find_fill
from inference.export.input_resizing import prepend_preprocessing
from inference.model.preprocessing import inputs_of

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from inference.model.preprocessing import Preprocessing

OUTPUTS = ("pred_score", "anomaly_map")
INSIDE = "inside"
OPSET = 18  # of ONNX: what torch's exporter writes without converting versions
IN_ONE_FILE = 2**30  # bytes of tensors; a single ONNX file holds at most 2 GiB


class ExportedNetwork(nn.Module):
    """What is traced: prepared images (N, C, h, w) -> raw pred_score (N,) and anomaly_map (N, 1, h, w).

    Of an ensemble whose members prepare images otherwise there are several such inputs.

    With a region of interest there is a third output, inside (N, 1, h, w) uint8, 1 where the network looks.

    Args:
        model: A trained model.
        image_size: Height and width in px that it sees.
    """

    def __init__(self, model: AnomalibModule, image_size: tuple[int, int]) -> None:
        super().__init__()
        network = model.model
        if any(tensor.dtype == torch.float16 for tensor in network.state_dict().values()):
            network = copy.deepcopy(network).float()  # a copy: the model is compared with as it is
        if hasattr(network, "exportable_of"):
            found, places = inputs_of(model)
            self.network = network.exportable_of([found[place].image_size for place in places], places)
        else:
            self.network = fix_to_size(laid_out(network, image_size), image_size)
        self.fill = find_fill(model.pre_processor)
        self.eval().requires_grad_(False)

    def forward(self, *prepared: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Score images."""
        inside = None
        if self.fill is not None:
            inside = self.fill.inside(prepared[0])
            prepared = (prepared[0] * inside,)
        found = self.network(*prepared)
        maps = found.anomaly_map
        outputs = found.pred_score.flatten(), maps.reshape(-1, 1, maps.shape[-2], maps.shape[-1])
        return outputs if inside is None else (*outputs, (inside > 0).to(torch.uint8).expand_as(outputs[1]))


def write_onnx(model: AnomalibModule, preprocessing: Preprocessing, path: Path) -> ExportedNetwork:
    """Write a trained model as `model.onnx`: images (N, H, W, 3) uint8 RGB in.

    For a data set with a range or channels: (N, H, W, C) uint16 or float32 as the files hold them, or uint8.

    Tensors of more than 1 GiB lie in a file of the same name with `.data` added.

    Returns:
        The network that was written.

    Raises:
        RuntimeError: Torch cannot write this model down, or only for a fixed number of images, or it has no map.
    """
    import onnx

    inputs, n_channels = inputs_of(model)[0], preprocessing.n_channels
    with torch.no_grad():
        network = ExportedNetwork(model.cpu().eval(), preprocessing.image_size)
        n_bytes = sum(tensor.nbytes for tensor in network.state_dict().values())
        if network.network(*(torch.zeros(1, n_channels, *one.image_size) for one in inputs)).anomaly_map is None:
            msg = (
                f"{type(model).__name__} scores whole images and has no anomaly map, and a model on the line shows "
                "where a defect is; choose a detector with a map"
            )
            raise RuntimeError(msg)
        batch_size = torch.export.Dim("batch", min=1, max=65535)
        # Two images: torch takes a batch of one for a size that never changes.
        with _silent():
            written = torch.onnx.export(
                network,
                tuple(torch.zeros(2, n_channels, *one.image_size) for one in inputs),
                dynamo=True,
                opset_version=OPSET,
                input_names=[f"prepared{place or ''}" for place in range(len(inputs))],
                output_names=[*OUTPUTS, *([INSIDE] if network.fill is not None else [])],
                dynamic_shapes=(tuple({0: batch_size} for _ in inputs),),
                verbose=False,
            )
    assert written is not None
    written.save(path, external_data=n_bytes > IN_ONE_FILE)
    plain = onnx.load(path, load_external_data=False)
    batch = plain.graph.input[0].type.tensor_type.shape.dim[0]
    if not batch.dim_param:
        msg = (
            f"{type(model).__name__} can be exported only for {batch.dim_value} images at once: its network computes "
            "with the number of images as a constant"
        )
        raise RuntimeError(msg)
    prepend_preprocessing(plain, *inputs)
    path.write_bytes(plain.SerializeToString())
    return network


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what torch's exporter prints of its steps; its errors still come."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._dynamo", "onnxscript")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
