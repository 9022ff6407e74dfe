"""`check --convert`: labels of other programs become the masks of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extensions.data.labels.labeled_image import Labels
    from extensions.data.labels.mask_target import MaskTarget


@dataclass(frozen=True)
class Converted:
    """What was written, for a person.

    Attributes:
        counts: A line each.
        last: Where the masks are, and what to put into the config.
    """

    counts: list[str]
    last: str


def convert(
    spec: dict[str, Any],
    given: Sequence[Path],
    *,
    config: Path,
    output: Path | None = None,
    chosen: Sequence[str] | None = None,
    data_root: Path | None = None,
) -> Converted:
    """Draw labels as masks and write them.

    Args:
        spec: Entry of a data set in a config.
        given: Label files, or folders of label files or of masks.
        config: For messages.
        output: New or empty folder of masks; None for where the data set looks for them.
        chosen: Labels that count as defects; None for all.
        data_root: Where a relative root starts.

    Raises:
        ValueError: All problems of the labels at once, or none of their shapes is to be drawn; nothing is written.
        OSError: The folder cannot be written.
    """
    from extensions.configuration import instantiate_data
    from extensions.data.datamodules.label_target import label_target, mask_folder
    from extensions.data.labels.drawing import draw_masks
    from extensions.data.labels.mask_folder import check_new, write_masks
    from extensions.data.reading.files import absolute

    datamodule = instantiate_data(spec, data_root)
    arguments = {name: value for name, value in (spec.get("init_args") or {}).items() if name != "mask_dir"}
    target = label_target(instantiate_data({**spec, "init_args": arguments}, data_root))
    folder = absolute(output, base=Path.cwd()) if output else mask_folder(datamodule)
    if folder is None:
        msg = f"--convert needs --output FOLDER for the masks, as {config} names no mask_dir of its own"
        raise ValueError(msg)
    check_new(folder)
    labels = _read(given, target)
    if chosen and any(shape.label == "" for entry in labels.images for shape in entry.shapes):
        msg = f"--labels: masks in {', '.join(map(str, given))} carry no labels to choose from; leave it out"
        raise ValueError(msg)
    drawn = draw_masks(labels, target, chosen=chosen)
    counts = [f"labels of data set {target.name}", *drawn.lines(target)]
    if not drawn.masks:
        msg = "\n".join([*counts, "no shape to draw, so that no mask was written; give other labels"])
        raise ValueError(msg)
    write_masks(drawn.masks, folder)
    shown = output or folder
    masks, instances = _counted(len(drawn.masks), "mask"), _counted(drawn.instances.total(), "instance")
    line = _line(datamodule, config, folder, list(drawn.masks))
    return Converted(counts, f"{masks} of {instances} in {shown}; {line}")


def _read(given: Sequence[Path], target: MaskTarget) -> Labels:
    """Everything that label files and folders of masks say."""
    from extensions.data.labels.instance_files import read_instance_files
    from extensions.data.labels.label_files import find_label_files, read_label_files
    from extensions.data.labels.labeled_image import Labels
    from extensions.data.reading.files import absolute

    labels = Labels()
    for one in given:
        path = absolute(one, base=Path.cwd())
        files = find_label_files(path)
        if files:
            top = path if path.is_dir() else path.parent
            labels.add(read_label_files(files, top, where=[target.named(file) for file in files]))
        else:
            labels.add(read_instance_files(path, target))
    return labels


def _line(datamodule: Any, config: Path, folder: Path, names: list[str]) -> str:
    """What to do with the config."""
    import yaml

    from extensions.data.datamodules.folder import Folder
    from extensions.data.datamodules.label_target import mask_dirs, mask_folder

    expected = mask_folder(datamodule)
    is_one = not isinstance(datamodule, Folder) or len(datamodule.abnormal_dirs) == 1
    if folder == expected and is_one:
        return f"{config} reads them from there"
    if not isinstance(datamodule, Folder):
        return f"move them to {expected}, where {config} reads them from"
    found = mask_dirs(datamodule, folder, names)
    value = found[0] if len(found) == 1 else found
    line = yaml.safe_dump({"mask_dir": value}, default_flow_style=None if len(found) > 1 else False, width=1000)
    return f"put `{line.strip()}` under init_args of {config}"


def _counted(n: int, name: str) -> str:
    return f"{n} {name}" if n == 1 else f"{n} {name}s"
