"""Images on the line brought to the place that the network expects, and its maps brought back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from extensions.data.imaging import Imaging
from extensions.data.straightening import aligned, lie_in, turned_back
from inference.model.batches import Key, not_an_image

Stream = Callable[[Iterable[tuple[Any, Any]]], Iterator[tuple[Any, Any]]]


def straightened(
    images: Iterable[tuple[Key, Any]], score: Stream, imaging: Imaging, dtype: str
) -> Iterator[tuple[Key, Any]]:
    """Score images that lie as they fell; maps are of the images as they were taken.

    Args:
        images: Any key and an image (H, W, C) of such numbers, or the error in its place.
        score: What scores aligned images, in their order.
        imaging: Of the model; its `alignment` is set.
        dtype: NumPy's name of the images' numbers.

    Yields:
        The key and the prediction, whose latency holds the time that aligning took, or the error.
    """
    assert imaging.alignment is not None

    def each() -> Iterator[tuple[Any, Any]]:
        for key, image in images:
            error = not_an_image(image, dtype, imaging.n_channels)
            if error is None:
                started = time.perf_counter()
                try:
                    lie = lie_in(image, imaging)
                    moved = aligned(image, imaging, lie)
                except ValueError as refused:
                    error = refused
                else:
                    yield (key, lie, (time.perf_counter() - started) * 1000), moved
                    continue
            yield (key, None, 0.0), error

    for (key, lie, milliseconds), found in score(each()):
        if isinstance(found, Exception) or lie is None:
            yield key, found
            continue
        started = time.perf_counter()
        anomaly_map = turned_back(found.anomaly_map, imaging, lie)
        milliseconds += (time.perf_counter() - started) * 1000
        yield (
            key,
            replace(
                found,
                anomaly_map=anomaly_map,
                latency_ms=found.latency_ms + milliseconds,
                aligned=imaging.alignment.is_met(lie),
            ),
        )
