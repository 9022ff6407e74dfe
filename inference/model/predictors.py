"""Predictors: images in, raw scores and maps out, from OpenVINO IR, ONNX or a checkpoint.

predictor = load_predictor(Path("model.xml"))
prediction = predictor.predict([image])[0]
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.data.cutting import check_size, fixed_mask
from extensions.data.imaging import Imaging
from inference.model.batches import BATCH, Key, batches
from inference.model.compiling import check_files, compile_network
from inference.model.given_thresholds import check_given, judged_by
from inference.model.metadata import ModelInfo, info_path
from inference.model.straightened import straightened
from inference.model.tiles import cut, stitched
from inference.model.verdicts import Verdict

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        pred_score: Raw, higher is more anomalous.
        pred_score_normalized: From 0 to 1 with the threshold at 0.5; None where the range of scores is unknown.
        pred_label: Whether `pred_score >= threshold`; None without a threshold.
        verdict: `good`, `defective` or, between two thresholds, `unsure`; None without a threshold. `pred_label` is
            True for both of the latter: an unsure part is not let through.
        anomaly_map: (h, w) float32, raw, of the part of the image that the network sees; of a network of tiles of the
            whole image, at its size or that of `Tiling.resize`.
        latency_ms: What the image took of the network's time once that is warm: the time in which its batch was
            computed, divided by the images in it. Reading, waiting and writing are not in it; batches that other
            streams compute meanwhile slow it down. Of an image in tiles: from its first tile to its last.
        inside: (h, w) bool, where the network looks; None for everywhere.
        aligned: Whether the image could be aligned with the template that the model has; None where it has none.
    """

    pred_score: float
    pred_score_normalized: float | None
    pred_label: bool | None
    anomaly_map: np.ndarray
    latency_ms: float
    verdict: Verdict | None = None
    inside: np.ndarray | None = None
    aligned: bool | None = None


class Predictor(ABC):
    """A model ready to predict.

    Attributes:
        info: What its numbers mean; the threshold is the one in force.
        batch: Images of one size that are handed over at once in `stream`.
    """

    def __init__(self, info: ModelInfo, batch: int) -> None:
        self.info = info
        self.batch = batch
        self._is_warm = False

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Score images.

        Args:
            images: (H, W, 3) uint8 RGB each, of any sizes, as `extensions.data.read_image` gives them; for a model with
                `range` or `channels` (H, W, C) of `info.input_dtype`, as `extensions.data.reading.pixels.read_pixels`
                gives them by `info.imaging`.

        Raises:
            ValueError: Something else than such an image.
            RuntimeError: The network could not compute.
        """
        found = [outcome for _, outcome in self.stream(enumerate(images))]
        for outcome in found:
            if isinstance(outcome, Exception):
                raise outcome
        return [outcome for outcome in found if isinstance(outcome, Prediction)]

    def stream(self, images: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[Key, Prediction | Exception]]:
        """Score images one after another while more are being read; results come in the order of the images.

        Of a network of tiles each image is cut and its map stitched; only the tiles that are at work are held. For a
        model of aligned images each is aligned first, and its map turned back.

        Args:
            images: Any key and an image as in `predict`; taken a few batches ahead of what is yielded.

        Yields:
            The key and the prediction, or the error that an image caused.
        """
        imaging = self.info.imaging
        if imaging.alignment is None:
            yield from self._scored(images)
        else:
            yield from straightened(images, self._scored, imaging, self.info.input_dtype)

    @abstractmethod
    def _scored(self, images: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Prediction | Exception]]:
        """Score images that lie as the network expects, as `stream`."""

    def _batches(self, images: Iterable[tuple[Key, np.ndarray]]) -> Iterator[tuple[list[Key], np.ndarray | Exception]]:
        imaging = self.info.imaging
        if imaging.tiling is None and fixed_mask(imaging) is not None:
            images = _of_size(images, imaging)
        n_channels = imaging.n_channels
        return batches(images, self.batch, dtype=self.info.input_dtype, n_channels=n_channels)

    def _outcomes(
        self, scores: np.ndarray, maps: np.ndarray, milliseconds: float, inside: np.ndarray | None = None
    ) -> list[Prediction | Exception]:
        seen = [None] * len(maps) if inside is None else list(inside.reshape(-1, *maps.shape[-2:]) > 0)
        return [
            self._outcome(float(score), one, milliseconds, looked_at)
            if math.isfinite(score)
            else RuntimeError(f"the network gave {score} as the score; export the model again")
            for score, one, looked_at in zip(scores.reshape(-1), maps.reshape(-1, *maps.shape[-2:]), seen, strict=True)
        ]

    def _outcome(
        self, score: float, anomaly_map: np.ndarray, milliseconds: float, inside: np.ndarray | None = None
    ) -> Prediction:
        threshold = self.info.threshold
        label = None if threshold is None else score >= threshold
        verdict = self.info.verdict(score)
        return Prediction(score, self.info.normalized(score), label, anomaly_map, milliseconds, verdict, inside)


def _of_size(images: Iterable[tuple[Any, Any]], imaging: Imaging) -> Iterator[tuple[Any, Any]]:
    """Images of the size of the region of interest; of another the error that says so."""
    for key, image in images:
        try:
            if isinstance(image, np.ndarray) and image.ndim == 3:
                check_size(imaging, (image.shape[0], image.shape[1]))
        except ValueError as error:
            yield key, error
        else:
            yield key, image


class OpenVinoPredictor(Predictor):
    """A network in OpenVINO, several batches of it at work at once.

    Args:
        path: IR (`.xml`) or ONNX file.
        info: What its numbers mean.
        device: As OpenVINO names it: CPU, GPU, AUTO …
        streams: Batches computed at the same time; None leaves it to OpenVINO's throughput hint.
        batch: Images of one size computed together.

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
    ) -> None:
        super().__init__(info, batch)
        # Without the precision, CPUs that can would compute in bfloat16.
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if streams is not None:
            options["NUM_STREAMS"] = str(streams)
        self.compiled = compile_network(path, info, device, options)
        n_requests = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self.compiled.create_infer_request() for _ in range(n_requests)]

    def _scored(self, images: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Prediction | Exception]]:
        """See `Predictor.stream`."""
        if self.info.tiling is None:
            yield from self._stream(images)
        else:
            tiles = self._stream(cut(images, self.info.imaging, self.info.input_dtype))
            yield from stitched(
                tiles,
                self._outcome,
                streams=len(self._requests),
                batch=self.batch,
                pooling=self.info.pooling,
            )

    def _stream(self, images: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Prediction | Exception]]:
        """Score what the network takes."""
        at_work: deque[tuple[Any, list[Any], np.ndarray]] = deque()
        idle = deque(self._requests)
        try:
            for keys, stacked in self._batches(images):
                if isinstance(stacked, Exception):
                    while at_work:  # what was handed over earlier comes first
                        yield from self._finished(*at_work[0])
                        idle.append(at_work.popleft()[0])
                    yield keys[0], stacked
                    continue
                if not idle:
                    yield from self._finished(*at_work[0])
                    idle.append(at_work.popleft()[0])
                if not self._is_warm:
                    self._warm_up(stacked[:1])
                request = idle.popleft()
                request.start_async([stacked], share_inputs=True)  # the array is kept until the result is there
                at_work.append((request, keys, stacked))
            while at_work:
                yield from self._finished(*at_work.popleft())
        finally:
            for request, *_ in at_work:  # they still read the arrays that would be freed now
                request.cancel()
                with contextlib.suppress(RuntimeError):  # that it was cancelled
                    request.wait()

    def _warm_up(self, image: np.ndarray) -> None:
        """Compute once with every request: the first time kernels are made and memory is taken."""
        self._is_warm = True
        with contextlib.suppress(RuntimeError):  # the image's own turn tells
            for request in self._requests:
                request.infer([image], share_inputs=True)

    def _finished(self, request: Any, keys: list[Any], _: np.ndarray) -> Iterator[tuple[Any, Prediction | Exception]]:
        try:
            request.wait()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            yield from ((key, RuntimeError(f"the network could not compute: {reason}")) for key in keys)
            return
        milliseconds = request.latency / len(keys)
        outputs = [request.get_output_tensor(index).data.copy() for index in range(len(self.compiled.outputs))]
        inside = outputs[2] if len(outputs) > 2 else None
        yield from zip(keys, self._outcomes(outputs[0], outputs[1], milliseconds, inside), strict=True)


class TorchPredictor(Predictor):
    """A trained model in torch, as it computes in `Engine.predict`.

    Args:
        model: As rebuilt from its checkpoint.
        info: What its numbers mean.
    """

    def __init__(self, model: AnomalibModule, info: ModelInfo) -> None:
        super().__init__(info, batch=1)
        self._model = model.eval()

    def _scored(self, images: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Prediction | Exception]]:
        """See `Predictor.stream`; the model itself cuts and stitches."""
        import torch

        from extensions.data.cutting import cut_of, filled
        from extensions.data.reading.pixels import unit_image
        from extensions.models.common.region_mixin import inside_of
        from extensions.models.common.tiled_scoring import raw_scores

        imaging, tiling = self.info.imaging, self.info.tiling
        for keys, stacked in self._batches(images):
            if isinstance(stacked, Exception):
                yield keys[0], stacked
                continue
            if tiling is not None:
                try:
                    cut_of(imaging, (stacked.shape[1], stacked.shape[2]))
                except ValueError as error:
                    yield keys[0], error
                    continue
            with torch.inference_mode():
                image = unit_image(filled(stacked[0], imaging), imaging)[None]
                if not self._is_warm:
                    first = image if tiling is None else image[..., : tiling.tile[0], : tiling.tile[1]]
                    transform = getattr(self._model.pre_processor, "transform", None)
                    self._model.model(first if transform is None else transform(first))
                    self._is_warm = True
                started = time.perf_counter()
                found = raw_scores(self._model, image)
                inside = None
                if getattr(self._model.model, "inside", None) is not None:
                    seen_as = image if tiling is not None else self._model.pre_processor.transform(image)
                    inside = inside_of(self._model, seen_as)
            milliseconds = (time.perf_counter() - started) * 1000
            scores, maps = found.pred_score.float().numpy(), found.anomaly_map.float().numpy()
            seen = None if inside is None else inside.numpy()
            yield keys[0], self._outcomes(scores, maps, milliseconds, seen)[0]


def load_predictor(
    path: Path,
    *,
    device: str = "CPU",
    streams: int | None = None,
    batch: int = BATCH,
    threshold: float | None = None,
    upper_threshold: float | None = None,
    model_class: str | None = None,
) -> Predictor:
    """Open a model file by its kind.

    Args:
        path: `model.xml` or `model.onnx` with `model.json` beside it, or a checkpoint.
        device: OpenVINO's name of the device; a checkpoint is computed by torch on the CPU.
        streams: See `OpenVinoPredictor`.
        batch: See `OpenVinoPredictor`.
        threshold: On raw scores, in place of the model's own, of both where it has two.
        upper_threshold: The upper one with it: what lies between them is unsure.
        model_class: Class of a checkpoint that does not tell it.

    Raises:
        FileNotFoundError: The file or one that belongs to it is not there.
        ValueError: It is of another kind, cannot be read, or not be computed on this device; or an upper threshold that
            is below the other, or alone.

    Example:
        >>> predictor = load_predictor(Path("model.xml"))
        >>> predictor.predict([image])[0].pred_score
    """
    path = Path(path)
    check_given(threshold, upper_threshold)
    check_files(path)
    predictor: Predictor
    if path.suffix == ".ckpt":
        if device != "CPU":
            msg = f"device {device!r}: a checkpoint is computed by torch on the CPU; export the model for other devices"
            raise ValueError(msg)
        from inference.model.checkpoints import load_checkpoint

        predictor = TorchPredictor(*load_checkpoint(path, model_class=model_class))
    else:
        info = ModelInfo.read(info_path(path))
        predictor = OpenVinoPredictor(path, info, device=device, streams=streams, batch=batch)
    if threshold is not None:
        predictor.info = judged_by(predictor.info, threshold, upper_threshold)
    return predictor
