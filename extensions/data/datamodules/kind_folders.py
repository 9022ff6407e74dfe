"""Folders whose subfolders name what their images show: good, or a kind of defect."""

from pathlib import Path

from extensions.data.checks.folder_names import is_good_folder
from extensions.data.checks.left_out import left_out
from extensions.data.checks.masks_beside import set_apart
from extensions.data.datamodules.listing import Listing
from extensions.data.errors import DatasetMissingError, Kind, Problem
from extensions.data.reading.files import list_images, relative_name


def subfolders(folder: Path) -> list[Path]:
    """Those that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_of(folder: Path, listing: Listing, root: Path) -> list[Path]:
    """The images of a folder in which no mask is expected; what is wrong with it goes to the listing."""
    images, problems = set_apart(list_images(folder), folder, root)
    listing.problems += [*problems, *left_out(folder, root)]
    if not images:
        listing.problems.append(Problem(Kind.EMPTY_FOLDER, relative_name(folder, root)))
    return images


def tell_near_good(folder: Path, listing: Listing, root: Path, consequence: str) -> None:
    """Add the problem of a folder that is called nearly `good`, whose images would count as defects."""
    if is_good_folder(folder.name) and folder.name != "good":
        detail = f"good is expected; its images would {consequence}"
        listing.problems.append(Problem(Kind.NEAR_NAME, relative_name(folder, root), detail))


def list_calibration(folder: Path, *, root: Path, name: str) -> Listing:
    """List images that thresholds alone are fitted on: those of ``good``, and of other subfolders as defects.

    Args:
        folder: ``calibration_dir`` of the data set.
        root: that names are relative to.
        name: the data set's.

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
        listing.add(images_of(path, listing, root), label=label, kind=path.name, split="calibration")
    beside = [path for path in list_images(folder) if path.parent == folder]
    listing.problems += [Problem(Kind.NO_KIND, relative_name(path, root)) for path in beside]
    return listing
