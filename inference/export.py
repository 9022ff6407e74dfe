"""A trained model written for the line: ONNX, OpenVINO IR, what its numbers mean, and how well it agrees."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.escaped import spreadsheet_name
from inference.agreement import N_PICTURES, TOLERANCES, Agreement, DisagreementError, compare, with_defects
from inference.metadata import PRECISIONS, ModelInfo, info_path
from inference.quantization import labelled_auroc, quantized, spread
from inference.whole_folder import whole_folder

if TYPE_CHECKING:
    import openvino
    from anomalib.models import AnomalibModule

    from inference.predictors import OpenVinoPredictor

logger = logging.getLogger(__name__)

NETWORK = "model.xml"
ONNX = "model.onnx"
FILES = (NETWORK, "model.bin", ONNX, "model.onnx.data", "model.json", "agreement.json", "agreement.csv")


@dataclass(frozen=True)
class ExportOptions:
    """How a model is exported.

    Attributes:
        precision: `fp32`, `fp16` (weights of half the size, computed in fp32 on CPUs) or `int8`; of the IR.
        allow_difference: Keep what differs from the trained model by more than is accepted.
        labelled: Folder with `good` and other pictures, on which the AUROC of another precision is held against fp32.
        n_pictures: Compared at most, evenly spread over those given.
        seed: Of the drawn defects.
    """

    precision: str = "fp32"
    allow_difference: bool = False
    labelled: Path | None = None
    n_pictures: int = N_PICTURES
    seed: int = 0


def export_model(
    model: AnomalibModule, info: ModelInfo, output: Path, *, files: Sequence[Path], options: ExportOptions | None = None
) -> Agreement:
    """Write a model and compare it with what was trained; the output is there whole or not at all.

    Args:
        model: As rebuilt from its checkpoint.
        info: What is known of it.
        output: Folder for `model.xml`, `model.bin`, `model.onnx`, `model.json`, `agreement.json`, `agreement.csv`; an
            earlier export in it is replaced.
        files: Normal pictures, those trained on if possible: to compare, and to calibrate int8.
        options: See `ExportOptions`.

    Raises:
        DisagreementError: The exported network differs by more than is accepted; nothing is written.
        ValueError: Something given cannot be, or the model cannot be exported.
        OSError: The output cannot be written.
    """
    from extensions.data.reading import read_stored
    from extensions.data.remarks import sentences
    from inference.network import to_openvino, write_onnx
    from inference.preprocessing import preprocessing_of

    options = options or ExportOptions()
    if options.precision not in PRECISIONS:
        msg = f"precision is {options.precision!r}; expected one of {', '.join(PRECISIONS)}"
        raise ValueError(msg)
    chosen = spread(files, options.n_pictures)
    stored = {str(file): read_stored(file)[1] for file in chosen}  # what cannot be read is told before the work
    for sentence in sentences(stored, n_files=len(chosen)):
        logger.warning(sentence)
    with whole_folder(output, FILES) as folder, tempfile.TemporaryDirectory(dir=folder) as scratch:
        pictures = with_defects(chosen, Path(scratch), seed=options.seed)
        write_onnx(model, preprocessing_of(model), folder / ONNX)
        network = to_openvino(folder / ONNX)
        info = replace(info, precision=options.precision)
        reference = _auroc(_saved(network, info, Path(scratch) / NETWORK), options)
        if options.precision == "int8":
            network = quantized(network, files)
        predictor = _saved(network, info, folder / NETWORK)
        agreement = compare(
            model,
            predictor,
            pictures,
            names=[spreadsheet_name(file.name) for file in chosen],
            tolerances=TOLERANCES[options.precision],
            workspace=Path(scratch) / "engine",
        )
        if reference is not None:
            found = _auroc(predictor, options)
            agreement.summary["labelled_auroc"] = {"fp32": reference, options.precision: found}
        if not agreement.agrees and not options.allow_difference:
            msg = (
                f"the exported {info.model} differs from the trained model ({agreement.sentence()}); nothing was "
                "written, --allow-difference accepts it"
            )
            raise DisagreementError(msg)
        info = replace(info, agreement=agreement.summary)
        info_path(folder / NETWORK).write_text(info.to_json(), encoding="utf-8")
        (folder / "agreement.json").write_text(agreement.to_json(), encoding="utf-8")
        (folder / "agreement.csv").write_text(agreement.to_csv(), encoding="utf-8")
    return agreement


def _auroc(predictor: OpenVinoPredictor, options: ExportOptions) -> float | None:
    return None if options.labelled is None else labelled_auroc(predictor, options.labelled)


def _saved(network: openvino.Model, info: ModelInfo, path: Path) -> OpenVinoPredictor:
    """Write the network once (its file stays mapped while the predictor lives) and open it as others will."""
    import openvino

    from inference.metadata import RUNTIME_KEY
    from inference.predictors import OpenVinoPredictor

    network.set_rt_info(info.to_json(), [RUNTIME_KEY, "model_info"])
    openvino.save_model(network, path, compress_to_fp16=info.precision == "fp16")
    return OpenVinoPredictor(path, info)
