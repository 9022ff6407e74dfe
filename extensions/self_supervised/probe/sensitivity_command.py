"""The `sensitivity` command: do features see small defects? A row for each data set, encoder and layer."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.runtime.command import add_data_root_option, add_set_option, set_help

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_OUTPUT = Path("output/sensitivity")
TABLE = "sensitivity.csv"
KEYS = ("data", "encoders", "image_size", "largest", "n_images", "seed")


@dataclass(frozen=True)
class SensitivitySettings:
    """A config of `sensitivity`.

    Attributes:
        data: Folders of good images, by the name of a data set.
        encoders: Arguments of `find_encoder`, one mapping each.
        image_size: Height and width in px.
        largest: Share of an image that a drawn defect may cover.
        n_images: Of each data set.
        seed: Of all draws.
    """

    data: dict[str, list[str]]
    encoders: tuple[dict[str, Any], ...]
    image_size: int = 224
    largest: float = 0.01
    n_images: int = 50
    seed: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes to its parser."""
    set_help(
        parser,
        "How far features move when a small defect is drawn on a good image, against a weak change of the whole image.",
        notes="In the output folder: sensitivity.csv, a row for each data set, encoder and layer.",
        example="--config configs/self_supervised/sensitivity.yaml --data-root DATA",
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML with data and encoders")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="default: %(default)s/<name of the config>")
    add_data_root_option(parser)
    add_set_option(parser, "n_images=20 or image_size=128")


def run(options: argparse.Namespace) -> int:
    """Measure, write the table and print it.

    Returns:
        0: the table is written.

    Raises:
        ValueError: A config or folder that cannot be used.
        RuntimeError: Weights that are nowhere or do not fit.
        OSError: The table could not be written.
    """
    from extensions.configuration import load_config
    from extensions.runtime.atomic_write import write_whole

    output = options.output / options.config.stem if options.output == DEFAULT_OUTPUT else options.output
    settings = sensitivity_settings(load_config(options.config, overrides=options.set), options.config)
    table = sensitivity(settings, data_root=options.data_root)
    write_whole(output / TABLE, table.to_csv(index=False, float_format="%.5g"))
    shown = table[["data", "backbone", "weights", "layer", "local_ratio", "local_low", "local_high", "pooled_ratio"]]
    sys.stdout.write(f"{shown.to_string(index=False, float_format='%.3g')}\n{len(table)} rows: open {output / TABLE}\n")
    return 0


def sensitivity_settings(config: dict[str, Any], path: Path) -> SensitivitySettings:
    """Read a config.

    Raises:
        ConfigError: An unknown key, a missing one or a value that cannot be; the message begins with the path.
    """
    from extensions.configuration import ConfigError
    from extensions.configuration.checked_values import check_keys, check_values, is_number, is_whole
    from extensions.self_supervised.probe.probe_settings import encoder_entries

    try:
        check_keys(config, KEYS)
        settings = SensitivitySettings(**{"data": None, "encoders": None} | config)
        data, largest = settings.data, settings.largest
        is_data = isinstance(data, dict) and data and all(isinstance(folders, list) for folders in data.values())
        check_values(
            data=(data, bool(is_data), "lists of folders by name, such as {bottle: [mvtec/bottle/test/good]}"),
            image_size=(settings.image_size, is_whole(settings.image_size, 1, 4096), "a whole number from 1 to 4096"),
            largest=(largest, is_number(largest) and 0 < largest <= 1, "a share above 0, up to 1"),
            n_images=(settings.n_images, is_whole(settings.n_images, 1), "a whole number from 1 on"),
            seed=(settings.seed, is_whole(settings.seed, 0), "a whole number from 0 on"),
        )
        return SensitivitySettings(**config | {"encoders": encoder_entries(config.get("encoders"))})
    except ValueError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def sensitivity(settings: SensitivitySettings, *, data_root: Path | None = None) -> pd.DataFrame:
    """A row for each data set, encoder and layer.

    Returns:
        Columns data, n_images, backbone, weights, weights_sha256, layer, image_size; for the features at the positions
        of a defect (local) and for their average (pooled) the mean cosine distances defect and weak, their ratio
        (higher is more sensitive to defects) and the 95 % interval low, high.

    Raises:
        ValueError: A folder or an encoder that cannot be used.
        WeightsError: Weights that do not fit.
    """
    import pandas as pd

    from extensions.self_supervised.images.image_list import find_images
    from extensions.self_supervised.probe.probe_encoders import PIXELS, find_encoder
    from extensions.self_supervised.probe.sensitivity import change_images, movements, ratio

    encoders = [find_encoder(**entry) for entry in settings.encoders]
    if any(encoder.backbone == PIXELS for encoder in encoders):
        msg = f"encoders: {PIXELS!r} has no layers; name networks only"
        raise ValueError(msg)
    rows = []
    for name, folders in settings.data.items():
        changed = change_images(
            find_images(folders, data_root).paths,
            image_size=settings.image_size,
            n=settings.n_images,
            largest=settings.largest,
            seed=settings.seed,
        )
        for encoder in encoders:
            about = {"data": name, "n_images": len(changed.images), "backbone": encoder.backbone}
            about |= {"weights": encoder.origin, "weights_sha256": encoder.sha256}
            for layer, moved in movements(encoder, changed, seed=settings.seed).items():
                row: dict[str, Any] = about | {"layer": layer, "image_size": settings.image_size}
                for kind, defect, weak in (
                    ("local", moved.local_defect, moved.local_weak),
                    ("pooled", moved.pooled_defect, moved.pooled_weak),
                ):
                    found = defect.mean(), weak.mean(), *ratio(defect, weak, seed=settings.seed)
                    names = (f"{kind}_{part}" for part in ("defect", "weak", "ratio", "low", "high"))
                    row |= dict(zip(names, found, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)
