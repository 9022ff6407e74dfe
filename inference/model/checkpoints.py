"""A trained model from its checkpoint, whichever class it is of, and what the checkpoint says of its scores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_record
from benchmark.records.run_files import RECORD
from extensions.data.cutting import fixed_mask
from extensions.data.groups import is_table
from extensions.data.imaging import Imaging, imaging_of
from extensions.data.regions.region import runs_of
from inference.model.metadata import ModelInfo, Parts, info_path
from inference.model.scale import told_scale, told_source, with_thresholds

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from benchmark.records.record_sections import Thresholds

CLASS_KEY = "class_path"
NOT_IN_INFO = {"n_masks", "k_shot_images", "contamination"}


def load_checkpoint(path: Path, *, model_class: str | None = None) -> tuple[AnomalibModule, ModelInfo]:
    """Rebuild a trained model on the CPU, ready to predict.

    Args:
        path: A `.ckpt` file of Lightning's, ours or one that the benchmark kept.
        model_class: Its class, where neither the checkpoint, a record beside it nor its folder tells.

    Raises:
        ValueError: It is no checkpoint, of no known class, or not of the class given.
        FileNotFoundError: No such file.
    """
    from extensions.backbones.stock_weights import stock_weights
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    stored = read_checkpoint(path)
    record = record_beside(path)
    recorded = record.experiment.model.class_path if record is not None else None
    name = model_class or stored.get(CLASS_KEY) or recorded or _class_of_folder(path)
    if not isinstance(name, str):
        msg = (
            f"{path}: nothing tells which class this model is of; give it with --model-class, such as extensions.Padim"
        )
        raise ValueError(msg)
    class_path = resolve_class_path(name, "model")
    kind = import_class(class_path, "model", known_classes("model"))
    try:
        with stock_weights(restoring=True):
            model: AnomalibModule = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (RuntimeError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        msg = f"{path}: this is no checkpoint of {class_path} ({reason}); give its class with --model-class"
        raise ValueError(msg) from error
    return model.eval(), describe(model, class_path, stored, record)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint as plain data; nothing is unpickled but what anomalib allows.

    Raises:
        ValueError: It is no checkpoint.
        FileNotFoundError: No such file.
    """
    import pickle
    import re
    import zipfile

    import torch
    from anomalib.utils.serialization import anomalib_safe_globals

    if not path.is_file():
        msg = f"{path}: there is no such file; expected a checkpoint (.ckpt) of a trained model"
        raise FileNotFoundError(msg)
    if not zipfile.is_zipfile(path):
        msg = f"{path}: this is no checkpoint, or one that is cut off; expected a .ckpt file of a trained model, whole"
        raise ValueError(msg)
    try:
        with anomalib_safe_globals():
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch's message advises to load it all the same
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = found[1] if found else "Python objects"
        msg = f"{path}: this holds {what}, which is not loaded, for it may run programs; expected a checkpoint of ours"
        raise ValueError(msg) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: this cannot be read as a checkpoint ({reason}); expected a .ckpt file of a trained model"
        raise ValueError(msg) from error
    if not isinstance(stored, dict) or "state_dict" not in stored:
        msg = f"{path}: this file holds no trained model; expected a checkpoint that Lightning wrote"
        raise ValueError(msg)
    return stored


def record_beside(path: Path) -> Record | None:
    """The benchmark's record of the run that left this checkpoint; None without one."""
    try:
        record = read_record(path.parent / RECORD, path.parent)
    except RecordError:
        return None
    return record if record.files.checkpoint == path.name else None


def describe(model: AnomalibModule, class_path: str, stored: dict[str, Any], record: Record | None = None) -> ModelInfo:
    """What is known of a model's scores, thresholds and training.

    Raises:
        ValueError: The record's threshold is not that of the model.
    """
    from extensions.models.common.score_pooling import pooling_of
    from inference.model.preprocessing import preprocessing_of

    scale, preprocessing = told_scale(model), preprocessing_of(model)
    if getattr(model, "lacks_image_threshold", False):  # anomalib would take that of maps in its place
        scale |= {"threshold": None, "score_range": None}
    source = "the checkpoint's post-processor" if scale["threshold"] is not None else None
    info = ModelInfo(
        model=type(model).__name__,
        class_path=class_path,
        image_size=preprocessing.image_size,
        region=preprocessing.region,
        threshold_source=told_source(source, model.post_processor, is_required=False),
        backbone=stored.get("backbone"),
        versions=versions(),
        tiling=model.imaging.tiling if hasattr(model, "imaging") else None,
        region_of_interest=_fixed_region(imaging_of(model)),
        alignment=alignment.packed() if (alignment := imaging_of(model).alignment) is not None else None,
        score_pooling=None if (pooling := pooling_of(model.model)) is None else pooling.name,
        **scale,
        **{name: part for name, part in imaging_of(model).stored().items() if name in ("range", "channels")},
    )
    if record is None:
        return info
    if record.dataset.part_score is not None:
        rule = record.experiment.data.init_args.get("group")
        info = replace(info, parts=Parts(record.dataset.part_score, None if is_table(rule) else rule))
    if record.thresholds.source is not None:
        info = with_thresholds(info, model, _of_model(model, record))
    dataset = {name: value for name, value in record.dataset.on_disk().items() if name not in NOT_IN_INFO}
    return replace(info, dataset=dataset, run_key=record.key)


def _fixed_region(imaging: Imaging) -> dict[str, Any] | None:
    mask = fixed_mask(imaging)
    return None if mask is None else {"size": list(mask.shape), "runs": runs_of(mask)}


def _of_model(model: AnomalibModule, record: Record) -> Thresholds:
    """The record's thresholds, the lower one as the model has it: in single precision."""
    recorded = record.thresholds
    lower = float(getattr(model.post_processor, "image_threshold", math.nan))
    if recorded.image is not None and not math.isclose(lower, recorded.image, rel_tol=1e-5):
        msg = (
            f"run {record.key}: the threshold is {lower:g} in its checkpoint and {recorded.image:g} in its record, as "
            "where a benchmark was stopped that set both; run it again as before"
        )
        raise ValueError(msg)
    upper = None if recorded.upper is None else max(recorded.upper, lower)
    return recorded.model_copy(update={"image": lower, "upper": upper})


def told_imaging(path: Path | None) -> Imaging:
    """How the images of a model file are read, told before it is loaded; plainly where it cannot be told."""
    try:
        if path is None or path.suffix != ".ckpt":
            return Imaging() if path is None else ModelInfo.read(info_path(path)).imaging
        return Imaging.of(read_checkpoint(path).get("imaging", {}))
    except (OSError, ValueError):  # whoever loads the model says what is wrong with it
        return Imaging()


def versions() -> dict[str, str]:
    """Of the libraries that decide what an exported network computes."""
    from importlib.metadata import version

    return {name: version(name) for name in ("anomaly-workbench", "anomalib", "torch", "timm", "onnx", "openvino")}


def _class_of_folder(path: Path) -> str | None:
    """The model's name in anomalib's layout `<root>/<Model>/<data set>/<category>/v<N>/weights/lightning/*.ckpt`."""
    from extensions.configuration.classes import known_classes

    known = known_classes("model")
    return next((part for part in reversed(path.resolve().parts[:-1]) if part in known), None)
