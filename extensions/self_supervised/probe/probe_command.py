"""The `probe` command: linear evaluation of several encoders on one data set, a row each in probe.csv."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.runtime.command import add_data_root_option, add_set_option, set_help
from extensions.runtime.progress import finished_step

if TYPE_CHECKING:
    import numpy as np

    from extensions.self_supervised.probe.probe_data import ProbeData
    from extensions.self_supervised.probe.probe_encoders import Encoder
    from extensions.self_supervised.probe.probe_settings import ProbeSettings
    from extensions.self_supervised.probe.probe_table import Row

DEFAULT_OUTPUT = Path("output/probe")
TABLE = "probe.csv"
VERSION = 1  # raised when a number in a row changes its meaning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes to its parser."""
    set_help(
        parser,
        "Linear evaluation of frozen encoders: how well their features tell classes apart.",
        notes=(
            "In the output folder: probe.csv, a row for each encoder and layer. Rows that are there are not computed "
            "again, so a command that was stopped goes on where it was."
        ),
        example="--config configs/self_supervised/probe_pool.yaml --data-root DATA",
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML with data, image_size, seed, encoders")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="default: %(default)s/<name of the config>")
    add_data_root_option(parser)
    add_set_option(parser, "seed=1 or image_size=64")


def run(options: argparse.Namespace) -> int:
    """Probe each encoder of the config that has no row yet; print the table.

    Returns:
        0: all rows are there.

    Raises:
        ValueError: A config, data set or image that cannot be used.
        RuntimeError: Weights that are nowhere or do not fit.
        OSError: The table could not be written; rows of earlier encoders are in it.
    """
    from extensions.configuration import load_config
    from extensions.self_supervised.probe.probe_settings import probe_settings
    from extensions.self_supervised.probe.probe_table import as_text, read_rows

    output = options.output / options.config.stem if options.output == DEFAULT_OUTPUT else options.output
    settings = probe_settings(load_config(options.config, overrides=options.set), options.config)
    order = probe(settings, output / TABLE, data_root=options.data_root)
    rows = read_rows(output / TABLE)
    found = [rows[key] for key in order]
    best = max(found, key=lambda row: float(row["top1"]))
    told = f"{len(found)} {'row' if len(found) == 1 else 'rows'}, best {best['backbone']} {best['layer']}"
    sys.stdout.write(f"{as_text(found)}\n{told} ({float(best['top1']):.1%} right): open {output / TABLE}\n")
    return 0


def probe(settings: ProbeSettings, table: Path, *, data_root: Path | None = None) -> list[str]:
    """Write the rows that the table lacks, each as soon as it is known.

    Args:
        settings: What to probe.
        table: A probe.csv; its folder is made. Rows of other settings stay in it, behind these.
        data_root: Where a relative root of the data starts; None for `$WORKBENCH_DATA`, else the working directory.

    Returns:
        The keys of these settings' rows in their order.
    """
    from extensions.self_supervised.probe.probe_data import read_probe_data
    from extensions.self_supervised.probe.probe_encoders import find_encoder
    from extensions.self_supervised.probe.probe_table import read_rows, write_rows

    known = read_rows(table)
    encoders = [find_encoder(**entry) for entry in settings.encoders]
    data = read_probe_data(**settings.data, data_root=data_root)
    keys = {(e, layer): _key(e, layer, settings, data) for e in encoders for layer in e.layers}
    order = list(dict.fromkeys(keys.values()))
    known |= {key: known[key] | {"data": data.name} for key in order if key in known}  # it may be called otherwise now
    write_rows(table, known, order=order)  # before hours of work: a folder that cannot be written to
    for encoder in dict.fromkeys(encoders):
        todo = [layer for layer in encoder.layers if keys[encoder, layer] not in known]
        if not todo:
            continue
        for layer, row in _rows(encoder, todo, settings, data):
            key = keys[encoder, layer]
            known = read_rows(table) | {key: row | {"key": key}}  # another command may have added rows
            write_rows(table, known, order=order)
        finished_step(f"{encoder.backbone} probed")
    return order


def _rows(encoder: Encoder, layers: list[str], settings: ProbeSettings, data: ProbeData) -> Iterator[tuple[str, Row]]:
    """Layers of one encoder and their rows, without keys."""
    from extensions.self_supervised.probe.probe_encoders import pooled_features

    started = time.perf_counter()
    features = pooled_features(
        encoder, layers, list(data.splits.values()), image_size=settings.image_size, seed=settings.seed
    )
    seconds = time.perf_counter() - started
    for layer in layers:
        by_split = dict(zip(data.splits, features[layer], strict=True))
        yield layer, _row(encoder, layer, by_split, settings, data, seconds)


def _row(
    encoder: Encoder,
    layer: str,
    features: dict[str, np.ndarray],
    settings: ProbeSettings,
    data: ProbeData,
    seconds: float,
) -> Row:
    """Fit and test; `seconds` are those of the features, which the encoder's layers share."""
    from extensions.self_supervised.probe.linear_probe import floor_accuracy, knn_accuracy, linear_probe, standardized
    from extensions.self_supervised.probe.probe_table import as_row

    started = time.perf_counter()
    labels = {split: images.labels for split, images in data.splits.items()}
    train, test = (features["train"], labels["train"]), (features["test"], labels["test"])
    validation = (features["validation"], labels["validation"]) if "validation" in features else None
    try:
        scores = linear_probe(*train, *test, validation=validation, seed=settings.seed)
    except ValueError as error:
        msg = f"{encoder.backbone}, {layer}: {error}"
        raise ValueError(msg) from error
    train_x, test_x = standardized(train[0], test[0])
    return as_row(
        {
            "data": data.name,
            "backbone": encoder.backbone,
            "layer": layer,
            "weights": encoder.origin,
            "weights_sha256": encoder.sha256,
            "n_features": train_x.shape[1],
            "n_train": len(train_x),
            "n_test": len(test_x),
            "n_classes": len(data.classes),
            "image_size": settings.image_size,
            "C": scores.c,
            "top1": scores.top1,
            "top1_se": scores.top1_se,
            "top5": scores.top5,
            "knn_top1": knn_accuracy(train_x, train[1], test_x, test[1]),
            "chance": floor_accuracy(train[1], test[1]),
            "seconds": round(seconds + time.perf_counter() - started, 2),
            "seed": settings.seed,
            "key": "",
        }
    )


def _key(encoder: Encoder, layer: str, settings: ProbeSettings, data: ProbeData) -> str:
    """A hash of everything that decides a row."""
    from extensions.cache.store import key_of

    return key_of(
        data=data.sha256,
        backbone=encoder.backbone,
        layer=layer,
        weights=encoder.sha256 or encoder.origin,
        image_size=settings.image_size,
        seed=settings.seed,
        version=VERSION,
    )
