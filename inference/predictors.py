"""Predictors: pictures in, raw scores and maps out, from OpenVINO IR, ONNX or a checkpoint.

predictor = load_predictor(Path("model.xml"))
prediction = predictor.predict([picture])[0]
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from extensions.openvino_core import openvino_core
from inference.metadata import ModelInfo, info_path

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

Key = TypeVar("Key")

SUFFIXES = (".xml", ".onnx", ".ckpt")
BATCH = 8  # pictures: large tensors of a model are read once a batch
BATCH_BYTES = 2**26  # of pictures: few large ones make a batch, too


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    Attributes:
        pred_score: Raw, higher is more anomalous.
        pred_score_normalized: From 0 to 1 with the threshold at 0.5; None where the range of scores is unknown.
        pred_label: Whether `pred_score >= threshold`; None without a threshold.
        anomaly_map: (h, w) float32, raw, of the part of the picture that the network sees.
        latency_ms: From handing over the picture's batch to having its result.
    """

    pred_score: float
    pred_score_normalized: float | None
    pred_label: bool | None
    anomaly_map: np.ndarray
    latency_ms: float


class Predictor(ABC):
    """A model ready to predict.

    Attributes:
        info: What its numbers mean; the threshold is the one in force.
        batch: Pictures of one size that are handed over at once in `stream`.
    """

    def __init__(self, info: ModelInfo, batch: int) -> None:
        self.info = info
        self.batch = batch

    def predict(self, pictures: Sequence[np.ndarray]) -> list[Prediction]:
        """Score pictures.

        Args:
            pictures: (H, W, 3) uint8 RGB each, of any sizes, as `extensions.data.reading.read_image` gives them.

        Raises:
            ValueError: Something else than such a picture.
            RuntimeError: The network could not compute.
        """
        found = [outcome for _, outcome in self.stream(enumerate(pictures))]
        for outcome in found:
            if isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in found if isinstance(outcome, Prediction)]

    @abstractmethod
    def stream(self, pictures: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, Prediction | Exception]]:
        """Score pictures one after another while more are being read; results come in the order of the pictures.

        Args:
            pictures: Any key and a picture as in `predict`; taken a few batches ahead of what is yielded.

        Yields:
            The key and the prediction, or the error that a picture caused.
        """

    def _outcomes(self, scores: np.ndarray, maps: np.ndarray, milliseconds: float) -> list[Prediction]:
        return [
            self._outcome(float(score), one, milliseconds)
            for score, one in zip(scores.reshape(-1), maps.reshape(len(maps), *maps.shape[-2:]), strict=True)
        ]

    def _outcome(self, score: float, anomaly_map: np.ndarray, milliseconds: float) -> Prediction:
        threshold = self.info.threshold
        label = None if threshold is None else score >= threshold
        return Prediction(score, self.info.normalized(score), label, anomaly_map, milliseconds)


class OpenVinoPredictor(Predictor):
    """A network in OpenVINO, several batches of it at work at once.

    Args:
        path: IR (`.xml`) or ONNX file.
        info: What its numbers mean.
        device: As OpenVINO names it: CPU, GPU, AUTO …
        streams: Batches computed at the same time; None leaves it to OpenVINO's throughput hint.
        batch: Pictures of one size computed together.
        precision: OpenVINO's `INFERENCE_PRECISION_HINT`; CPUs that can would otherwise compute in bfloat16.

    Raises:
        ValueError: It cannot be read as a network of ours, or this device is not there.
    """

    def __init__(
        self,
        path: Path,
        info: ModelInfo,
        *,
        device: str = "CPU",
        streams: int | None = None,
        batch: int = BATCH,
        precision: str = "f32",
    ) -> None:
        super().__init__(info, batch)
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        if streams is not None:
            options["NUM_STREAMS"] = str(streams)
        self.compiled = compile_network(path, device, options)
        n_requests = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self.compiled.create_infer_request() for _ in range(n_requests)]

    def stream(self, pictures: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, Prediction | Exception]]:
        """See `Predictor.stream`."""
        at_work: deque[tuple[Any, list[Key], np.ndarray, float]] = deque()
        idle = deque(self._requests)
        try:
            for keys, stacked in batches(pictures, self.batch):
                if isinstance(stacked, Exception):
                    while at_work:  # what was handed over earlier comes first
                        yield from self._finished(*at_work[0])
                        idle.append(at_work.popleft()[0])
                    yield keys[0], stacked
                    continue
                if not idle:
                    yield from self._finished(*at_work[0])
                    idle.append(at_work.popleft()[0])
                request = idle.popleft()
                request.start_async([stacked], share_inputs=True)  # the array is kept until the result is there
                at_work.append((request, keys, stacked, time.perf_counter()))
            while at_work:
                yield from self._finished(*at_work.popleft())
        finally:
            for request, *_ in at_work:  # they still read the arrays that would be freed now
                request.cancel()
                with contextlib.suppress(RuntimeError):  # that it was cancelled
                    request.wait()

    def _finished(
        self, request: Any, keys: list[Key], _: np.ndarray, started: float
    ) -> Iterator[tuple[Key, Prediction | Exception]]:
        try:
            request.wait()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            yield from ((key, RuntimeError(f"the network could not compute: {reason}")) for key in keys)
            return
        milliseconds = (time.perf_counter() - started) * 1000
        scores, maps = (request.get_output_tensor(index).data.copy() for index in range(2))
        yield from zip(keys, self._outcomes(scores, maps, milliseconds), strict=True)


class TorchPredictor(Predictor):
    """A trained model in torch, as it computes in `Engine.predict`.

    Args:
        model: As rebuilt from its checkpoint.
        info: What its numbers mean.
    """

    def __init__(self, model: AnomalibModule, info: ModelInfo) -> None:
        super().__init__(info, batch=1)
        self._model = model.eval()

    def stream(self, pictures: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, Prediction | Exception]]:
        """See `Predictor.stream`."""
        import torch
        from torchvision.transforms.v2.functional import to_dtype, to_image

        for keys, stacked in batches(pictures, self.batch):
            if isinstance(stacked, Exception):
                yield keys[0], stacked
                continue
            started = time.perf_counter()
            with torch.inference_mode():
                image = to_dtype(to_image(stacked[0]), torch.float32, scale=True)[None]
                found = self._model.model(self._model.pre_processor.transform(image))
            milliseconds = (time.perf_counter() - started) * 1000
            scores, maps = found.pred_score.float().numpy(), found.anomaly_map.float().numpy()
            yield keys[0], self._outcomes(scores, maps, milliseconds)[0]


def load_predictor(
    path: Path,
    *,
    device: str = "CPU",
    streams: int | None = None,
    batch: int = BATCH,
    threshold: float | None = None,
    model_class: str | None = None,
) -> Predictor:
    """Open a model file by its kind.

    Args:
        path: `model.xml` or `model.onnx` with `model.json` beside it, or a checkpoint.
        device: OpenVINO's name of the device; a checkpoint is computed by torch on the CPU.
        streams: See `OpenVinoPredictor`.
        batch: See `OpenVinoPredictor`.
        threshold: On raw scores, in place of the model's own.
        model_class: Class of a checkpoint that does not tell it.

    Raises:
        FileNotFoundError: The file or one that belongs to it is not there.
        ValueError: It is of another kind, or cannot be read.

    Example:
        >>> predictor = load_predictor(Path("model.xml"))
        >>> predictor.predict([picture])[0].pred_score
    """
    path = Path(path)
    _check_files(path)
    predictor: Predictor
    if path.suffix == ".ckpt":
        from inference.checkpoints import load_checkpoint

        predictor = TorchPredictor(*load_checkpoint(path, model_class=model_class))
    else:
        beside = info_path(path)
        info = ModelInfo.from_json(beside.read_text(encoding="utf-8"), beside)
        predictor = OpenVinoPredictor(path, info, device=device, streams=streams, batch=batch)
    if threshold is not None:
        predictor.info = replace(predictor.info, threshold=threshold, threshold_source="given")
    return predictor


def batches(
    pictures: Iterable[tuple[Key, np.ndarray]], size: int
) -> Iterator[tuple[list[Key], np.ndarray | ValueError]]:
    """Neighboring pictures of one size together, (n, H, W, 3); what is no picture alone, as the error that says so."""
    keys: list[Key] = []
    group: list[np.ndarray] = []
    for key, picture in pictures:
        error = _not_a_picture(picture)
        full = len(group) >= max(1, min(size, BATCH_BYTES // max(1, group[0].nbytes))) if group else False
        if group and (full or error is not None or picture.shape != group[0].shape):
            yield keys, np.stack(group)
            keys, group = [], []
        if error is not None:
            yield [key], error
            continue
        keys.append(key)
        group.append(picture)
    if group:
        yield keys, np.stack(group)


def _not_a_picture(picture: Any) -> ValueError | None:
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        if picture.size:
            return None
        return ValueError(f"the picture has no pixels, {picture.shape}")
    found = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    return ValueError(f"expected a picture of uint8, (height, width, 3) in RGB, found {found}")


def compile_network(path: Path, device: str, options: dict[str, str]) -> Any:
    """Read and compile a network of ours.

    Raises:
        ValueError: It is none, or the device is not there.
    """
    import openvino

    core = openvino_core()
    try:
        network = core.read_model(path)
    except RuntimeError as error:
        msg = f"{path}: OpenVINO cannot read this as a network ({_end_of(error)}); export the model again"
        raise ValueError(msg) from error
    names = [output.get_any_name() for output in network.outputs]
    if len(network.inputs) != 1 or network.inputs[0].element_type != openvino.Type.u8 or len(names) != 2:
        msg = (
            f"{path}: this network takes {', '.join(map(str, network.inputs)) or 'nothing'} and gives {len(names)} "
            "outputs; expected pictures in uint8 and score and map, as `python -m inference export` writes them"
        )
        raise ValueError(msg)
    try:
        return core.compile_model(network, device, options)
    except RuntimeError as error:
        there = ", ".join(core.available_devices)
        msg = f"device {device!r} cannot run {path} ({_end_of(error)}); this machine has {there}"
        raise ValueError(msg) from error


def _end_of(error: Exception) -> str:
    """The last line of OpenVINO's message: the others tell where in its sources it was raised."""
    return str(error).strip().splitlines()[-1].strip()[:200]


def _check_files(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        msg = f"{path}: a model file ends in one of {', '.join(SUFFIXES)}"
        raise ValueError(msg)
    needed = {".xml": [path, path.with_suffix(".bin"), info_path(path)], ".onnx": [path, info_path(path)]}
    for file in needed.get(path.suffix, [path]):
        if not file.is_file():
            whose = "" if file == path else f", which belongs to {path.name}"
            msg = f"{file}: there is no such file{whose}; expected what `python -m inference export` wrote, all of it"
            raise FileNotFoundError(msg)
