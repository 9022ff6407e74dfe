"""Folders whose subfolders name what their images show: good, or a kind of defect."""

from collections.abc import Sequence
from pathlib import Path

from extensions.data.checks.folder_names import is_good_folder
from extensions.data.checks.left_out import left_out
from extensions.data.checks.masks_beside import set_apart
from extensions.data.datamodules.listing import Listing
from extensions.data.errors import DatasetMissingError, Kind, Problem
from extensions.data.reading.files import list_channel_images, relative_name


def subfolders(folder: Path) -> list[Path]:
    """Those that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_of(folder: Path, listing: Listing, root: Path, *, channels: int | Sequence[str] | None = None) -> list[Path]:
    """The images of a folder in which no mask is expected; what is wrong with it goes to the listing."""
    images, problems = set_apart(list_channel_images(folder, channels), folder, root)
    listing.problems += [*problems, *left_out(folder, root)]
    if not images:
        listing.problems.append(Problem(Kind.EMPTY_FOLDER, relative_name(folder, root)))
    return images


def tell_near_good(folder: Path, listing: Listing, root: Path, consequence: str) -> None:
    """Add the problem of a folder that is called nearly `good`, whose images would count as defects."""
    if is_good_folder(folder.name) and folder.name != "good":
        detail = f"good is expected; its images would {consequence}"
        listing.problems.append(Problem(Kind.NEAR_NAME, relative_name(folder, root), detail))


def list_calibration(folder: Path, *, root: Path, name: str, channels: int | Sequence[str] | None = None) -> Listing:
    """List images that thresholds alone are fitted on: those of ``good``, and of other subfolders as defects.

    Args:
        folder: ``calibration_dir`` of the data set.
        root: that names are relative to.
        name: the data set's.
        channels: of the data set.

    Raises:
        DatasetMissingError: it is not there.
    """
    if not folder.is_dir():
        msg = f"data set {name!r} lacks the folder {folder}; correct calibration_dir in the config, or leave it out"
        raise DatasetMissingError(msg)
    listing, kinds = Listing(), subfolders(folder)
    if not kinds:
        listing.problems.append(
            Problem(Kind.EMPTY_FOLDER, relative_name(folder, root), "calibration_dir: expected good and other folders")
        )
    for path in kinds:
        tell_near_good(path, listing, root, "count as defects")
        label = int(path.name != "good")
        listing.add(images_of(path, listing, root, channels=channels), label=label, kind=path.name, split="calibration")
    beside = [path for path in list_channel_images(folder, channels) if path.parent == folder]
    listing.problems += [Problem(Kind.NO_KIND, relative_name(path, root)) for path in beside]
    return listing
