"""A trained model written for the line: ONNX, OpenVINO IR, what its numbers mean, and how well it agrees."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.backbones.transformers import is_transformer
from extensions.data.imaging import imaging_of
from extensions.runtime.atomic_write import whole_folder
from extensions.runtime.escaped import spreadsheet_name
from inference.export.product_thresholds import PRODUCT_THRESHOLDS
from inference.export.quantization import NetworkInputs, evenly_spaced, quantized
from inference.measure.agreement import (
    DRAWN_FLIPPED_PART,
    N_IMAGES,
    TOLERANCES,
    Agreement,
    DisagreementError,
    compare,
    n_compared,
)
from inference.measure.cost import cost_sentence, is_kept, own_threshold, speeds
from inference.measure.drawn_defects import with_defects
from inference.measure.labelled_images import LabelledImages
from inference.measure.summary import Costs
from inference.measure.threshold_refit import auroc, score
from inference.model.metadata import PRECISIONS, ModelInfo, info_path

if TYPE_CHECKING:
    import openvino
    from anomalib.models import AnomalibModule

    from inference.model.predictors import OpenVinoPredictor

logger = logging.getLogger(__name__)

NETWORK = "model.xml"
ONNX = "model.onnx"
FILES = (
    NETWORK,
    "model.bin",
    ONNX,
    "model.onnx.data",
    "model.json",
    "agreement.json",
    "agreement.csv",
    PRODUCT_THRESHOLDS,
)


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        precision: `fp32`, `fp16` (weights of half the size, computed in fp32 on CPUs) or `int8`; of the IR.
        allow_difference: Keep what differs from the trained model by more than is accepted.
        labelled: Folder with `good` and other images, on which the AUROC of another precision is held against fp32.
        measures_speed: Whether the speed of int8 is held against that of fp32, for a moment.
    """

    precision: str = "fp32"
    allow_difference: bool = False
    labelled: Path | None = None
    measures_speed: bool = True


def export_model(
    model: AnomalibModule,
    info: ModelInfo,
    output: Path,
    *,
    files: Sequence[Path],
    options: ExportOptions | None = None,
    fitted_on: LabelledImages | None = None,
    stand_in: LabelledImages | None = None,
) -> Agreement:
    """Write a model and compare it with what was trained; the output is there whole or not at all.

    int8 moves scores, so its threshold and ranges are fitted anew on the images that those of training were fitted on;
    without them on the labelled ones; without those they stay, and the summary has no `quantized`.

    Args:
        model: As rebuilt from its checkpoint.
        info: What is known of it.
        output: Folder for `model.xml`, `model.bin`, `model.onnx`, `model.json`, `agreement.json`, `agreement.csv`; an
            earlier export in it is replaced.
        files: Normal images, those trained on if possible: to compare, and to calibrate int8.
        options: See `ExportOptions`.
        fitted_on: The images on which the model's threshold was fitted.
        stand_in: Others to which the same rule can be applied, see `own_threshold`.

    Raises:
        DisagreementError: The exported network differs by more than is accepted; nothing is written.
        ValueError: Something given cannot be, or the model cannot be exported.
        OSError: The output cannot be written.
    """
    import openvino

    from extensions.data.checks.remarks import sentences
    from extensions.data.reading.pixels import read_pixels_stored
    from inference.export.network import write_onnx
    from inference.export.quantized_features import take_own_features
    from inference.model.preprocessing import preprocessing_of

    options = options or ExportOptions()
    if options.precision not in PRECISIONS:
        msg = f"precision is {options.precision!r}; expected one of {', '.join(PRECISIONS)}"
        raise ValueError(msg)
    if options.precision == "int8":
        _check_int8(model)
    if not files:
        msg = "there are no images to compare the exported network on; give a folder of good ones with --calibration"
        raise ValueError(msg)
    labelled = LabelledImages.from_folder(options.labelled, imaging=info.imaging) if options.labelled else None
    chosen = evenly_spaced(files, N_IMAGES if info.tiling is None else n_compared(files[0], info.imaging))
    # What cannot be read is told before the work.
    stored = {str(file): read_pixels_stored(file, info.imaging)[1] for file in chosen}
    for sentence in sentences(stored, n_files=len(chosen)):
        logger.warning(sentence)
    with whole_folder(output, FILES) as folder, tempfile.TemporaryDirectory(dir=folder) as scratch:
        images = with_defects(chosen, Path(scratch), imaging=info.imaging)
        written = write_onnx(model, preprocessing_of(model), folder / ONNX)
        network = openvino.convert_model(folder / ONNX)
        info, costs = replace(info, precision=options.precision), Costs()
        if options.precision == "int8":
            full = saved(network, info, Path(scratch) / "fp32.xml")
            of_tokens = info.backbone is not None and is_transformer(info.backbone["name"])
            unchanged, network = network, quantized(network, files, info.imaging, is_transformer=of_tokens)
            if not of_tokens:  # NNCF rescales the products of a transformer's network, those with the bank, too
                take_own_features(network, unchanged, written, NetworkInputs(files, info.imaging))
            small = saved(network, info, Path(scratch) / "int8.xml")
            info, costs = own_threshold(model, full, small, fitted_on or labelled, labelled, stand_in)
            if options.measures_speed:
                costs = replace(costs, images_per_second=speeds(full, small, chosen[0]))
        predictor = saved(network, info, folder / NETWORK)
        if labelled is not None and options.precision != "int8":
            full = saved(network, replace(info, precision="fp32"), Path(scratch) / NETWORK)
            judged: dict[str, OpenVinoPredictor] = {"fp32": full, options.precision: predictor}
            aurocs = {name: auroc(score(one, labelled, model), labelled) for name, one in judged.items()}
            costs = Costs(labelled_auroc=aurocs)
        agreement = compare(
            model,
            predictor,
            images,
            names=[spreadsheet_name(file.name) for file in chosen],
            tolerances=TOLERANCES[options.precision],
            workspace=Path(scratch) / "engine",
            flipped_part=DRAWN_FLIPPED_PART,
        )
        agreement = _judged(agreement, costs, info.model, allow_difference=options.allow_difference)
        summary = agreement.summary.on_disk
        info = replace(info, agreement=summary)
        info_path(folder / NETWORK).write_text(info.to_json(), encoding="utf-8")
        (folder / "agreement.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        (folder / "agreement.csv").write_text(agreement.to_csv(), encoding="utf-8")
    return agreement


def _judged(agreement: Agreement, costs: Costs, model: str, *, allow_difference: bool) -> Agreement:
    """The agreement with the costs; raises DisagreementError for a difference that is not accepted."""
    summary = replace(agreement.summary, agrees=agreement.agrees and is_kept(costs), costs=costs)
    if not summary.agrees and not allow_difference:
        told = "; ".join(filter(None, [summary.sentence(), cost_sentence(costs)]))
        msg = f"the exported {model} differs from the trained model ({told}); nothing was written, --allow-difference "
        msg += "accepts it"
        raise DisagreementError(msg)
    return replace(agreement, summary=summary)


def _check_int8(model: AnomalibModule) -> None:
    """Refuse what cannot compute in 8 bits."""
    region = imaging_of(model).region
    if region is not None and region.foreground:
        msg = "a network that finds the foreground (roi) cannot compute in int8: export it with precision fp32 or fp16"
        raise ValueError(msg)


def saved(network: openvino.Model, info: ModelInfo, path: Path) -> OpenVinoPredictor:
    """Write the network once (its file stays mapped while the predictor lives) and open it as others will."""
    import openvino

    from inference.model.metadata import RUNTIME_KEY
    from inference.model.predictors import OpenVinoPredictor

    network.set_rt_info(info.to_json(), [RUNTIME_KEY, "model_info"])
    openvino.save_model(network, path, compress_to_fp16=info.precision == "fp16")
    return OpenVinoPredictor(path, info)
