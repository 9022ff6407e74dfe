"""The front of an exported network: images of any size become what the network was trained on, inside the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from extensions.data.value_range import ValueRange
    from inference.model.preprocessing import Preprocessing

INPUT = "images"  # (N, H, W, C) uint8 in 0 to 255, or counts of a range
PREFIX = "resize/"  # of all names here: nothing in it may be quantized
BLOCK = 16  # rows or columns computed by one product: fewer copy less, more compute less


def prepend_preprocessing(network: ModelProto, *inputs: Preprocessing) -> None:
    """Change a network on prepared images into one on images as they are read.

    Resizing with antialiasing is linear along each axis: a pixel is a mean of those nearby, weighted by a triangle as
    wide as the scale (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989, section 3.5.1), which is
    what torchvision and Pillow compute. The weights follow from the image's size by a few operations in the graph;
    blocks of output rows are small products with the rows that they see, so a large image costs no more than reading
    it. Equal to torchvision's `Resize` in float to about 1e-6 of the range.

    Args:
        network: Each of its inputs is prepared images, (N, C, h, w) float; changed in place.
        inputs: How images are prepared for each; what several do alike is done once.
    """
    from onnx import TensorProto, helper

    preprocessing, builder = inputs[0], _GraphBuilder()
    for place, (one, target) in enumerate(zip(inputs, network.graph.input, strict=True)):
        prepared, name = builder.prepare(one), f"{PREFIX}out{place or ''}"
        builder.nodes.append(helper.make_node("Identity", [prepared], [target.name], name=name))
    graph: GraphProto = network.graph
    nodes = [*builder.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(builder.constants)
    del graph.input[:]
    shape: list[str | int | None] = ["batch", "height", "width", preprocessing.n_channels]
    kinds = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}
    kind = kinds["uint8" if preprocessing.range is None else preprocessing.range.dtype]
    graph.input.append(helper.make_tensor_value_info(INPUT, kind, shape))


class _GraphBuilder:
    """Nodes and constants so far; a call adds an operation and returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._shaped: dict[tuple[Any, ...], str] = {}

    def __call__(self, operation: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{PREFIX}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def prepare(self, preprocessing: Preprocessing) -> str:
        """Images (N, H, W, C) -> (N, C, h, w) float, by their range, resized, cropped and normalized."""
        how = (preprocessing.resize, preprocessing.antialias, preprocessing.crop)
        if how not in self._shaped:
            self._shaped[how] = self._shape(preprocessing)
        mean, deviation = (
            self.constant(np.reshape(values, (1, -1, 1, 1))) for values in (preprocessing.mean, preprocessing.std)
        )
        return self("Div", self("Sub", self._shaped[how], mean), deviation)

    def _shape(self, preprocessing: Preprocessing) -> str:
        """Images (N, H, W, C) -> (N, C, h, w) float in [0, 1], by their range, resized and cropped."""
        from onnx import TensorProto

        (height, width), n = preprocessing.resize, preprocessing.n_channels
        is_whole = preprocessing.range is None
        source = self._filled(preprocessing)
        source = source if preprocessing.range is None else self._scaled(source, preprocessing.range)
        cast, gain = (TensorProto.FLOAT, 1 / 255) if is_whole else (None, 1.0)
        shape = self("Shape", INPUT)
        n_rows, n_columns = (self("Gather", shape, self.integers(axis), axis=0) for axis in (1, 2))  # (1,) each
        rows = self("Reshape", source, self.integers(0, 0, -1))  # (N, H, W * C)
        antialias = preprocessing.antialias
        rows = self._resized(rows, n_rows, height, antialias=antialias, cast=cast)
        split = self("Concat", self.integers(0, height), n_columns, self.integers(n), axis=0)
        columns = self("Transpose", self("Reshape", rows, split), perm=[0, 2, 3, 1])  # (N, W, C, h)
        columns = self("Reshape", columns, self.integers(0, 0, n * height))
        columns = self._resized(columns, n_columns, width, antialias=antialias, gain=gain)  # (N, w, C * h)
        images = self("Reshape", columns, self.integers(0, width, n, height))
        images = self("Transpose", images, perm=[0, 2, 3, 1])  # (N, C, h, w)
        if preprocessing.crop is not None:
            top, left, height, width = preprocessing.crop
            ends = self.integers(top + height, left + width)
            images = self("Slice", images, self.integers(top, left), ends, self.integers(2, 3))
        return images

    def _filled(self, preprocessing: Preprocessing) -> str:
        """Images (N, H, W, C) with nothing left outside of a region, as `extensions.data.cutting.filled` does it."""
        if preprocessing.looked_at is None or preprocessing.looked_at.mask is None:
            return INPUT
        dtype = np.dtype("uint8" if preprocessing.range is None else preprocessing.range.dtype)
        mask = self.constant(preprocessing.looked_at.mask[None, ..., None], bool)  # (1, H, W, 1)
        return self("Where", mask, INPUT, self.constant(preprocessing.fill, dtype.type))

    def _scaled(self, source: str, value_range: ValueRange) -> str:
        """Images (N, H, W, C) as their files hold them -> float in [0, 1], clipped, as `ValueRange.scaled`."""
        from onnx import TensorProto

        low, high = np.array(value_range.lows, np.float32), np.array(value_range.highs, np.float32)
        # A cast of floats would be merged with the input, and its name added to the input's.
        values = source if value_range.is_floating else self("Cast", source, to=TensorProto.FLOAT)
        scaled = self("Div", self("Sub", values, self.constant(low)), self.constant(high - low))
        return self("Clip", scaled, self.constant(0.0), self.constant(1.0))

    def _resized(
        self, lines: str, n_lines: str, size: int, *, antialias: bool, cast: int | None = None, gain: float = 1.0
    ) -> str:
        """Lines (N, n, m) as `size` lines (N, size, m), each a weighted mean of those nearby."""
        seen, weights = self._weights(n_lines, size, antialias=antialias, gain=gain)
        near = self("Gather", lines, seen, axis=1)  # (N, blocks, k, m)
        if cast is not None:
            near = self("Cast", near, to=cast)
        blocks = self("MatMul", weights, near)  # (N, blocks, BLOCK, m)
        padded = -(-size // BLOCK) * BLOCK
        joined = self("Reshape", blocks, self.integers(0, padded, -1))
        if padded == size:
            return joined
        return self("Slice", joined, self.integers(0), self.integers(size), self.integers(1))

    def _weights(self, n_lines: str, size: int, *, antialias: bool, gain: float) -> tuple[str, str]:
        """The lines that each block sees, (blocks, k), and the weight of each for each output, (blocks, BLOCK, k)."""
        from onnx import TensorProto

        n_blocks = -(-size // BLOCK)
        centers = np.minimum(np.arange(n_blocks * BLOCK), size - 1).reshape(n_blocks, BLOCK, 1) + 0.5
        one = self.constant(1.0)
        count = self("Cast", n_lines, to=TensorProto.FLOAT)
        scale = self("Div", count, self.constant(float(size)))
        reach = self("Max", scale, one) if antialias else self.constant([1.0])
        center = self("Mul", self.constant(centers), scale)  # (blocks, BLOCK, 1)
        first = self("Floor", self("Sub", self("Mul", self.constant(centers[:, :1]), scale), reach))  # (blocks, 1, 1)
        span = self("Add", self("Mul", scale, self.constant(BLOCK - 1.0)), self("Mul", reach, self.constant(2.0)))
        length = self("Squeeze", self("Add", self("Ceil", span), self.constant(2.0)), self.integers(0))
        step = self("Range", self.constant(0.0), length, one)
        line = self("Add", first, step)  # (blocks, 1, k)
        distance = self("Abs", self("Sub", self("Add", line, self.constant(0.5)), center))
        triangle = self("Relu", self("Sub", one, self("Div", distance, reach)))
        inside = self("Min", self("Max", line, self.constant(0.0)), self("Sub", count, one))
        weights = self("Mul", triangle, self("Cast", self("Equal", inside, line), to=TensorProto.FLOAT))
        total = self("ReduceSum", weights, self.integers(2), keepdims=1)
        weights = self("Mul", self("Div", weights, total), self.constant(gain))
        return self("Cast", self("Squeeze", inside, self.integers(1)), to=TensorProto.INT32), weights
