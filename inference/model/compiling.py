"""A network of ours read from its file and compiled for a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extensions.runtime.openvino_core import openvino_core
from inference.model.metadata import RUNTIME_KEY, ModelInfo, info_path

INPUT_AND_OUTPUTS = ("images", "pred_score", "anomaly_map")
INSIDE = "inside"  # a third output, of networks that look at a part of the image only
SUFFIXES = (".xml", ".onnx", ".ckpt")


def compile_network(path: Path, info: ModelInfo, device: str, options: dict[str, str]) -> Any:
    """Read and compile a network of ours.

    Args:
        path: IR (`.xml`) or ONNX file.
        info: What lies beside it; an IR holds the same text, which is compared.
        device: OpenVINO's name of it.
        options: Of OpenVINO's `compile_model`.

    Raises:
        ValueError: It is none, the description is of another one, or the device is not there.
    """
    core = openvino_core()
    try:
        network = core.read_model(path)
    except RuntimeError as error:
        msg = f"{path}: OpenVINO cannot read this as a network ({_end_of(error)}); export the model again"
        raise ValueError(msg) from error
    names = tuple(", ".join(sorted(one.names)) or "?" for one in (*network.inputs, *network.outputs))
    if names[: len(INPUT_AND_OUTPUTS)] != INPUT_AND_OUTPUTS or names[len(INPUT_AND_OUTPUTS) :] not in ((), (INSIDE,)):
        msg = (
            f"{path}: this network has inputs and outputs {'; '.join(names)}, expected {'; '.join(INPUT_AND_OUTPUTS)}; "
            "give one that `python -m inference export` wrote"
        )
        raise ValueError(msg)
    _check_belongs(network, info, path)
    try:
        return core.compile_model(network, device, options)
    except RuntimeError as error:
        there = ", ".join(core.available_devices)
        msg = f"device {device!r} cannot run {path} ({_end_of(error)}); this machine has {there}"
        raise ValueError(msg) from error


def _check_belongs(network: Any, info: ModelInfo, path: Path) -> None:
    """Thresholds of another model would decide without a sign of it."""
    place = [RUNTIME_KEY, "model_info"]
    if not network.has_rt_info(place):  # an ONNX file
        return
    inside = ModelInfo.from_json(network.get_rt_info(place).astype(str), path)
    one, other = ((each.model, each.run_key, each.score_range) for each in (inside, info))
    if one != other:
        msg = (
            f"{info_path(path)}: this describes another model ({_told(other)}) than {path.name} is ({_told(one)}); "
            "copy all files of an export together"
        )
        raise ValueError(msg)


def _told(facts: tuple[str, str | None, tuple[float, float] | None]) -> str:
    model, run, span = facts
    scores = "" if span is None else f", scores from {span[0]:g} to {span[1]:g}"
    return f"{model}{f' of run {run}' if run else ''}{scores}"


def _end_of(error: Exception) -> str:
    """The last line of OpenVINO's message: the others tell where in its sources it was raised."""
    return str(error).strip().splitlines()[-1].strip()[:200]


def check_files(path: Path) -> None:
    """Whether a model file and what belongs to it are there.

    Raises:
        FileNotFoundError: One is not.
        ValueError: It is of another kind.
    """
    if path.suffix not in SUFFIXES:
        msg = f"{path}: a model file ends in one of {', '.join(SUFFIXES)}"
        raise ValueError(msg)
    needed = {".xml": [path, path.with_suffix(".bin"), info_path(path)], ".onnx": [path, info_path(path)]}
    for file in needed.get(path.suffix, [path]):
        if not file.is_file():
            whose = "" if file == path else f", which belongs to {path.name}"
            msg = f"{file}: there is no such file{whose}; expected what `python -m inference export` wrote, all of it"
            raise FileNotFoundError(msg)
