"""int8 by NNCF's post-training quantization, calibrated on normal training images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extensions.data.cutting import cut_of
from extensions.data.tiling.resizing import resized_pixels
from extensions.runtime.progress import drawn_only_where_watched
from extensions.runtime.quiet import is_debugging
from inference.export.input_resizing import PREFIX

if TYPE_CHECKING:
    import openvino

    from extensions.data.imaging import Imaging

CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")
OF_BLOCKS = ("MVN", "Gelu", "ScaledDotProductAttention")  # layer norm, activation and attention of a transformer
N_CALIBRATION = 300  # images at most: NNCF's own default


def quantized(
    network: openvino.Model, files: Sequence[Path], imaging: Imaging | None = None, *, is_transformer: bool = False
) -> openvino.Model:
    """A copy of the network whose convolutions compute in 8 bits; of a transformer its linear layers do, too.

    What comes before the network (resizing) and what no convolution follows stays in floating point: distances and
    maps are a small part of the time, their errors would go into the scores as they are, and normal images say
    nothing of how large the distances of defects are. The ranges of a convolutional network's activations are those of
    all calibration images together: NNCF's own, averaged over images, cut off what few images have, a defect above all.
    Weights take half of their range, since processors without VNNI add up products in 16 bits and cut off what does
    not fit (NNCF's `OverflowFix`), which made the scores depend on the machine.

    Args:
        network: As OpenVINO reads that of `write_onnx`.
        files: Normal training images.
        imaging: How they are read; None for 8 bits of RGB. Of a network of tiles some are spread evenly over
            each image.
        is_transformer: Whether its backbone is a vision transformer, whose linear layers hold most of its work.

    Raises:
        ValueError: There are none.
    """
    import nncf
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if not files:
        msg = "int8 needs normal training images to find the range of each layer on; give them with --calibration"
        raise ValueError(msg)
    if not is_debugging():
        logging.getLogger("nncf").setLevel(logging.ERROR)
    chosen = evenly_spaced(files, N_CALIBRATION)
    n_tiles = max(1, N_CALIBRATION // len(chosen)) if imaging is not None and imaging.tiling is not None else 1
    how = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    if not is_transformer:  # whose activations have outliers by design
        how.activations_range_estimator_params = RangeEstimatorParametersSet.MINMAX
    with drawn_only_where_watched():
        return nncf.quantize(
            network,
            nncf.Dataset(NetworkInputs(chosen, imaging, n_tiles=n_tiles)),
            subset_size=len(chosen) * n_tiles,
            model_type=nncf.ModelType.TRANSFORMER if is_transformer else None,
            ignored_scope=nncf.IgnoredScope(
                names=behind_blocks(network) if is_transformer else behind_convolutions(network),
                patterns=[f"{PREFIX}.*"],
                types=[] if is_transformer else ["MatMul"],
                validate=False,
            ),
            advanced_parameters=how,
        )


class NetworkInputs:
    """Images as an exported network takes them, read one by one: (1, H, W, C) each.

    Args:
        files: Of whole images.
        imaging: How they are read; None for 8 bits of RGB.
        n_tiles: Of a network of tiles: so many of each image, evenly spread over it; None for all.
    """

    def __init__(self, files: Sequence[Path], imaging: Imaging | None, *, n_tiles: int | None = None) -> None:
        from extensions.data.imaging import Imaging

        self.files = files
        self.imaging = imaging or Imaging()
        self.n_tiles = n_tiles

    def __iter__(self) -> Iterator[np.ndarray]:
        for file in self.files:
            yield from self._of(file)

    def _of(self, file: Path) -> Iterator[np.ndarray]:
        from extensions.data.reading.pixels import read_pixels
        from extensions.data.straightening import aligned, lie_in

        how = self.imaging
        image = read_pixels(file, how)
        if how.alignment is not None:
            image = aligned(image, how, lie_in(image, how))
        if how.tiling is None:
            yield image[None]
            return
        cut = cut_of(how, (image.shape[0], image.shape[1]))
        whole = image if how.tiling.resize is None else resized_pixels(image, how.tiling.resize)
        n_tiles = self.n_tiles or len(cut.kept)
        for place in range(n_tiles):
            yield cut.tile(whole, cut.kept[int((place + 0.5) * len(cut.kept) / n_tiles)])[None]


def behind_convolutions(network: openvino.Model) -> list[str]:
    """Names of the operations that no convolution follows."""
    return _not_before(network, [one for one in network.get_ordered_ops() if one.get_type_name() in CONVOLUTIONS])


def behind_blocks(network: openvino.Model) -> list[str]:
    """Names of the operations that no part of a transformer's block follows.

    The linear layer behind the last activation is among the others: it is the last block's own.
    """
    operations = network.get_ordered_ops()
    last = [one for one in operations if one.get_type_name() in (*CONVOLUTIONS, *OF_BLOCKS)]
    last += [
        one
        for one in operations
        if one.get_type_name() == "MatMul" and one.input_value(0).get_node().get_type_name() == "Gelu"
    ]
    return _not_before(network, last)


def _not_before(network: openvino.Model, last: list[openvino.Node]) -> list[str]:
    """Names of the operations that are not among these and come before none of them."""
    pending = list(last)
    before: set[str] = set()
    while pending:
        operation = pending.pop()
        if operation.get_friendly_name() not in before:
            before.add(operation.get_friendly_name())
            pending += [given.get_node() for given in operation.input_values()]
    plain = {"Constant", "Parameter", "Result"}
    behind = [one for one in network.get_ordered_ops() if one.get_type_name() not in plain]
    return [one.get_friendly_name() for one in behind if one.get_friendly_name() not in before]


def evenly_spaced(files: Sequence[Path], n_files: int) -> list[Path]:
    """At most so many of the files, evenly spread over them."""
    places = np.unique(np.linspace(0, len(files) - 1, min(n_files, len(files))).round().astype(int))
    return [files[place] for place in places]
