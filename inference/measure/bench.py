"""How fast an exported model is: backbone alone, network alone, from file to table, anomalib's inferencer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from extensions.data.cutting import fixed_mask
from extensions.data.reading.pixels import read_pixels
from extensions.runtime.atomic_write import write_whole
from extensions.runtime.openvino_core import openvino_core
from inference.measure.speed import Speed, network_speed, speed_of
from inference.measure.stock import as_stock, stock_speed
from inference.model.checkpoints import load_checkpoint, told_imaging
from inference.model.metadata import ModelInfo
from inference.model.predictors import OpenVinoPredictor, load_predictor
from inference.predict.pipeline import predict
from inference.predict.sources import list_source_images, open_source

SECONDS = 3.0  # of each measurement, after one round that does not count
COLUMNS = (
    "model", "precision", "what", "streams", "batch", "n", "images_per_second", "latency_p50_ms", "latency_p95_ms",
)  # fmt: skip
RANDOM_SIDE = 320  # px, of images where none are given


def measure(
    models: Sequence[Path],
    folder: Path | None,
    *,
    device: str = "CPU",
    streams: Sequence[int] = (1, 2),
    batches: Sequence[int] = (1, 8),
    stock: Path | None = None,
    seconds: float = SECONDS,
    repeats: int = 1,
) -> pd.DataFrame:
    """Measure models, one row of `COLUMNS` for each of backbone, network and end to end, streams and batch.

    With repeats all take turns, and a row has the medians. The index is the place in `models`.

    Args:
        models: `model.xml` files.
        folder: Images; None leaves end to end and stock out and takes random ones of 320 px.
        device: OpenVINO's name.
        streams: Batches computed at the same time.
        batches: Images computed together.
        stock: Checkpoint of a model that anomalib has, too: exported by anomalib and run by its `OpenVINOInferencer`,
            one image after the other, at float32.
        seconds: Of each measurement.
        repeats: Of all measurements.

    Raises:
        ValueError: Something given cannot be measured; nothing was.
        FileNotFoundError: A file is not there.
    """
    _check(models, folder, device, stock)
    files = list_source_images(folder, imaging=told_imaging(models[0])) if folder is not None else []
    rows: list[dict[str, Any]] = []
    for _ in range(repeats):
        for place, path in enumerate(models):
            for n_streams, batch in product(streams, batches):
                predictor = load_predictor(path, device=device, streams=n_streams, batch=batch)
                assert isinstance(predictor, OpenVinoPredictor)
                given = {"place": place, "streams": n_streams, "batch": batch}
                rows += _rows(predictor, given, device, folder, files, seconds)
        if stock is not None:
            name, speed = stock_speed(stock, files, seconds)
            rows.append(_row(name, "anomalib's inferencer", {"place": len(models), "streams": 1, "batch": 1}, speed))
    which = ["place", "model", "precision", "what", "streams", "batch"]
    medians = dict.fromkeys(("images_per_second", "latency_p50_ms", "latency_p95_ms"), "median")
    frame = pd.DataFrame(rows).groupby(which, sort=False, as_index=False).agg({"n": "sum", **medians})
    return frame.set_index("place")[list(COLUMNS)]


def _rows(
    predictor: OpenVinoPredictor,
    given: dict[str, int],
    device: str,
    folder: Path | None,
    files: Sequence[Path],
    seconds: float,
) -> list[dict[str, Any]]:
    """Backbone, network, and end to end where there are images."""
    info, rows = predictor.info, []
    random = np.random.default_rng(0)
    backbone = _backbone(info, device, given["streams"])
    if backbone is not None:
        pixels = random.standard_normal((given["batch"], info.imaging.n_channels, *info.image_size)).astype(np.float32)
        rows.append(_row(info, "backbone", given, network_speed(backbone, pixels, seconds)))
    imaging = info.imaging
    shape = read_pixels(files[0], imaging).shape if files else (RANDOM_SIDE, RANDOM_SIDE, imaging.n_channels)
    if (mask := fixed_mask(imaging)) is not None:
        shape = (*mask.shape, imaging.n_channels)
    if info.tiling is not None:
        shape = (*info.tiling.tile, imaging.n_channels)
    images = random.integers(0, 256, (given["batch"], *shape)).astype(info.input_dtype)
    rows.append(_row(info, "network", given, network_speed(predictor.compiled, images, seconds)))
    if folder is not None:
        rows.append(_row(info, "end to end", given, end_to_end_speed(predictor, folder, seconds)))
    return rows


def _check(models: Sequence[Path], folder: Path | None, device: str, stock: Path | None) -> None:
    """Whether all that is asked for can be measured, before any of it is."""
    if stock is not None:
        if folder is None:
            msg = "--stock is measured on images; give a folder of them with --input"
            raise ValueError(msg)
        model, info = load_checkpoint(stock)
        as_stock(model)  # raises where anomalib has no such model
        if info.tiling is not None:
            msg = f"{stock}: this was trained on {info.tiling.told}, which anomalib's inferencer does not cut; leave "
            msg += "--stock out"
            raise ValueError(msg)
    for path in models:
        if path.suffix == ".ckpt":
            msg = f"{path}: expected an exported network (model.xml or model.onnx)"
            raise ValueError(msg)
        load_predictor(path, device=device)


def write(frame: pd.DataFrame, output: Path) -> Path:
    """Write `bench.csv`, unrounded; its path."""
    path = output / "bench.csv"
    write_whole(path, frame.to_csv(index=False))
    return path


def end_to_end_speed(predictor: OpenVinoPredictor, folder: Path, seconds: float) -> Speed:
    """From the files of a folder to `predictions.csv`, as often as the seconds ask for."""
    taken, n_images = 0.0, 0
    latencies: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        for turn in count():
            report = predict(
                predictor, open_source(str(folder), imaging=predictor.info.imaging), Path(scratch), progress=False
            )
            if not turn:
                continue
            taken, n_images = taken + report.seconds, n_images + report.n_done
            of_images = pd.read_csv(Path(scratch) / "predictions.csv")["latency_ms"].dropna()
            n_together = predictor.batch if predictor.info.tiling is None else 1  # else an image is several batches
            latencies += list(of_images * n_together / 1000)  # of whole batches, as of the network alone
            if taken >= seconds:
                break
    return speed_of(n_images, taken, latencies)


def _row(info: ModelInfo | str, what: str, given: dict[str, int], speed: Speed) -> dict[str, Any]:
    name, precision = (info, "fp32") if isinstance(info, str) else (info.model, info.precision)
    return {"model": name, "precision": precision, "what": what, **given, **vars(speed)}


def _backbone(info: ModelInfo, device: str, n_streams: int) -> Any:
    """The model's backbone at float32 with random weights, which change no time; None for a model without one."""
    import openvino
    import torch

    from extensions import backbones
    from extensions.backbones.frozen import fix_to_size
    from extensions.backbones.input_channels import set_in_channels
    from extensions.backbones.map_extractor import MapExtractor

    if not info.backbone:
        return None
    backbones.register()
    name, layers = backbones.architecture(info.backbone["name"]), info.backbone["layers"]
    network = MapExtractor(backbone=name, layers=layers, pre_trained=False).eval()
    n_channels = info.imaging.n_channels
    set_in_channels(network, n_channels)
    network = fix_to_size(network, (info.image_size[0], info.image_size[1]))
    example = torch.zeros(1, n_channels, *info.image_size)
    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False, strict=False)
        converted = openvino.convert_model(traced, example_input=example, input=[-1, n_channels, *info.image_size])
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(n_streams)}
    return openvino_core().compile_model(converted, device, options)
