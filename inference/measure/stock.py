"""Anomalib's own export and inferencer on the same trained model, to be measured against."""

from __future__ import annotations

import contextlib
import inspect
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.measure.speed import Speed, timed_loop
from inference.model.checkpoints import load_checkpoint

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


def stock_speed(checkpoint: Path, files: Sequence[Path], seconds: float) -> tuple[str, Speed]:
    """Anomalib's `OpenVINOInferencer` at float32 in a loop over the files, as its documentation uses it.

    Args:
        checkpoint: Of a model of ours that anomalib has under the same name.
        files: Images.
        seconds: See `timed_loop`.

    Returns:
        The model's name, and the speed.
    """
    from anomalib.deploy import OpenVINOInferencer

    model, info = load_checkpoint(checkpoint)
    given = [file.resolve() for file in files]
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):  # it leaves a cache where it runs
        path = _export(as_stock(model), Path(scratch))
        inferencer = OpenVINOInferencer(path, device="CPU", config={"INFERENCE_PRECISION_HINT": "f32"})
        return info.model, timed_loop(inferencer.predict, given, seconds)


def as_stock(model: AnomalibModule) -> AnomalibModule:
    """Anomalib's class of the same name with what ours has learned.

    Raises:
        ValueError: Anomalib has none.
    """
    import anomalib.models

    kind = getattr(anomalib.models, type(model).__name__, None)
    if kind is None:
        msg = f"anomalib has no model {type(model).__name__} to measure against"
        raise ValueError(msg)
    taken = inspect.signature(kind).parameters.keys() - {"pre_processor", "post_processor", "evaluator", "visualizer"}
    arguments: dict[str, Any] = {name: value for name, value in model.hparams.items() if name in taken}
    if "pre_trained" in taken:
        arguments["pre_trained"] = False
    stock: AnomalibModule = kind(**arguments, pre_processor=model.pre_processor, evaluator=False, visualizer=False)
    state = model.model.state_dict()
    for name, _ in stock.model.named_buffers():
        if name in state:  # what was learned decides the size of some
            owner, _, attribute = name.rpartition(".")
            setattr(stock.model.get_submodule(owner), attribute, state[name].clone())
    stock.model.load_state_dict(state, strict=False)
    stock.post_processor.load_state_dict(model.post_processor.state_dict(), strict=False)
    return stock.eval()


def _export(model: AnomalibModule, folder: Path) -> Path:
    """Anomalib's export; where it bakes the number of images in (PatchCore), the fix that its notes name is taken."""
    one_image: dict[str, Any] = {}
    if type(model).__name__ == "Patchcore":
        import torch

        sides = {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
        one_image = {"onnx_kwargs": {"dynamic_shapes": (sides,)}}
    return Path(model.to_openvino(export_root=folder, **one_image))
