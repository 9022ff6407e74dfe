"""What can be wrong with a data set, and the errors that say so."""

import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from extensions.runtime.escaped import escaped

logger = logging.getLogger(__name__)

MAX_NAMED = 20


class Kind(Enum):
    """A kind of problem: what is found, and what to do about it."""

    NAME_NOT_UTF8 = ("file whose name is not UTF-8", "rename them: no record or table can hold such a name")
    UNREADABLE = ("cannot be read as an image", "replace or delete them")
    EMPTY_FOLDER = ("folder without images", "put images there, or leave the folder out")
    UNEXPECTED_FOLDER = ("folder that is not expected there", "move or delete it: train holds only 'good'")
    MASK_FOLDER = ("folder of masks among the images", "name it in mask_dir, or move it elsewhere")
    MASK_BESIDE = (
        "mask beside its image, where it would count as an image",
        "name the folder of the images in mask_dir, too (class Folder), or move the masks into a folder of their own",
    )
    DEFECT_FOLDER = (
        "folder whose name says test or defect, below a folder of good images",
        "name the folder of the good images alone, or move it",
    )
    GOOD_FOLDER = (
        "folder whose name says good, below a folder of anomalous images",
        "name it in normal_test_dir (class Folder), or move it",
    )
    NEAR_NAME = ("folder whose name is nearly the one that is expected", "rename it")
    MANY_CHANNELS = (
        "image of other channels than grey or RGB",
        "say how many by the argument channels of the data set, such as channels: 5",
    )
    OTHER_CHANNELS = ("image of another number of channels than expected", "correct channels of the data set")
    NO_PARTNER = ("image that lacks a file of its channels", "add these files, or correct channels of the data set")
    NO_FIRST = (
        "file of a channel without the first file, which names the image",
        "add the first files, or take these out",
    )
    PARTNER_SIZE = ("file of a channel of another size than its image", "export all files of an image at one size")
    BEYOND_BITS = (
        "image whose bits cannot hold the range of the data set",
        "correct range: it counts as the files do, 8 bits from 0 to 255, 16 bits from 0 to 65535",
    )
    NO_MASK = ("anomalous image without a mask", "add masks of the same name, with or without '_mask' at its end")
    EXTRA_MASK = ("mask without an image", "delete them, or give them the names of their images")
    AMBIGUOUS_MASK = ("mask that cannot be told", "leave one mask for each image")
    MASK_SIZE = ("mask of another size than its image", "export the masks at the size the images are shown in")
    MASK_ON_NORMAL = ("mask that marks a defect on a normal image", "move the image to the anomalous ones")
    INVERTED_MASK = (
        "mask that marks most of its image and all of the border, as if it were black on white",
        "invert the masks: 0 is background, not zero is defect",
    )
    MASK_BACKGROUND = (
        "mask without a single 0, so that all of it counts as defect",
        "set the background to 0, for all that is not 0 counts as defect",
    )
    GREY_MASK = (
        "mask with many values between black and white, as photographs and heat maps have",
        "give masks of two values: 0, and not 0 for defect",
    )
    FAINT_MASK = ("JPEG mask of low values, which are lost in the noise of compression", "export the masks as PNG")
    IN_TRAIN_AND_TEST = ("same image in training and test", "keep one copy")
    IN_CALIBRATION = (
        "same image in calibration_dir and in training or test",
        "take it out of calibration_dir: thresholds are fitted on images that are neither trained nor tested on",
    )
    NO_KIND = ("image in calibration_dir outside of its subfolders", "put it into good, or into that of its defect")
    TWO_LABELS = ("same image as normal and as anomalous", "keep one copy")
    BLACK_MASK = ("mask that marks nothing on an anomalous image", "draw the defect or move the image")
    LARGE_MASK = ("mask that marks most of its image", "look whether that is meant: all that is not 0 counts as defect")
    WHOLE_MASK = ("mask that marks all of its image", "look whether that is meant: all that is not 0 counts as defect")
    IGNORE_MASK = (
        "mask with small class numbers and 255, which often stands for pixels to ignore but counts as defect here",
        "set to 0 what is no defect",
    )
    LOSSY_MASK = (
        "mask with grey values (JPEG noise, soft edges), cut at half of their range",
        "export masks as PNG with two values",
    )
    DARK = (
        "16-bit image that uses the lowest sixteenth of its range and is left with some 16 levels",
        "name where their values lie by the argument range of the data set, such as range: [0, 4095], or rescale them "
        "to the full range, here and on the line",
    )
    PAGES = ("image file of several pages, of which the first is read", "save each page as a file of its own")
    CLIPPED = (
        "image with more than 1 % of its values outside of the range, all of which become 0 or 1",
        "widen range, unless these are glare and shadows",
    )
    SAME_TWICE = ("same image twice", "keep one copy")
    SHARED_PART = (
        "image of a part with images on both sides of the split, which makes results too good",
        "set shared_groups to not_trained or not_tested, or move all images of a part to one side",
    )
    SIBLING = (
        "test image that looks like another image of a training part",
        "look at them: if they are of one part, name parts by `group`, else results are too good",
    )
    NEAR_COPY = (
        "test or calibration image that is nearly the same as one in another split (resized, compressed or exposed "
        "anew?)",
        "look at them: detectors know such images, so results are too good; keep one of each",
    )
    NEAR_LABELS = (
        "image that is nearly the same as one under the other label",
        "look whether both labels are right",
    )
    OUTSIDE_REGION = (
        "defect that lies outside of the region of interest, where no detector looks",
        "widen the region, or call the image good",
    )
    DRAWN = ("image of a few values only, as masks have", "look whether it is an image")
    LEFT_OUT = (
        "image left out because of the ending of its name",
        "rename or convert them; class Folder can also be given their endings, such as extensions: [.png, .gif]",
    )
    NOT_JSON = ("label file that is not JSON", "export the labels again")
    NOT_LABELS = (
        "JSON that is neither labelme nor COCO",
        "give files with the keys shapes and imagePath (labelme), or images, annotations and categories (COCO)",
    )
    BAD_LABEL = ("label that cannot be read", "correct or delete it, or export the labels again")
    FEW_POINTS = ("polygon with fewer than 3 points", "draw it again or delete it")
    NO_AREA = (
        "label without an area",
        "draw polygons around defects, or name in --labels those that are to be drawn, without this one",
    )
    OUTSIDE_IMAGE = ("shape outside of its image", "draw it again, or export the labels at the size of the image")
    BAD_RUNS = ("run-length code that is corrupt", "export the labels again")
    RUNS_SIZE = ("run-length code of another size than its image", "export the labels at the size of the image")
    LABELED_SIZE = (
        "image of another size than its label file says",
        "label the images as they are on disk and shown, or put those there that were labeled",
    )
    NO_IMAGE = ("label of an image that is not there", "add the image to the data set, or delete the label")
    UNCLEAR_IMAGE = ("label that fits several images", "write the image's folder before its name in the label file")
    SAME_MASK = ("images whose masks would have one name", "give them different names")

    @property
    def is_warning(self) -> bool:
        """Whether the results stay right, or most likely do: such a problem is logged, not raised."""
        return self in _WARNINGS


_WARNINGS = {
    Kind.BLACK_MASK,
    Kind.LARGE_MASK,
    Kind.WHOLE_MASK,
    Kind.IGNORE_MASK,
    Kind.LOSSY_MASK,
    Kind.DARK,
    Kind.PAGES,
    Kind.CLIPPED,
    Kind.SAME_TWICE,
    Kind.SHARED_PART,
    Kind.SIBLING,
    Kind.NEAR_COPY,
    Kind.NEAR_LABELS,
    Kind.OUTSIDE_REGION,
    Kind.DRAWN,
    Kind.LEFT_OUT,
}


@dataclass(frozen=True)
class Problem:
    """One problem with one file or folder, named relative to the data set's root; it may stand for ``n`` of them."""

    kind: Kind
    file: str
    detail: str = ""
    n: int = 1

    def __str__(self) -> str:
        return escaped(f"{self.file} ({self.detail})" if self.detail else self.file)


class DatasetError(ValueError):
    """A data set that cannot be used as it is; ``problems`` lists everything that was found."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.args[0], self.problems)


class DatasetMissingError(DatasetError, FileNotFoundError):
    """A data set, or one of its folders, that is not on this disk."""


def describe(problems: Iterable[Problem]) -> str:
    """One line for each kind of problem with the names of the first files."""
    groups: dict[Kind, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.kind, []).append(problem)
    lines = []
    for kind in (kind for kind in Kind if kind in groups):
        found, remedy = kind.value
        named = [str(problem) for problem in sorted(groups[kind], key=str)]
        more = f" … and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        count = sum(problem.n for problem in groups[kind])
        lines.append(f"- {found} ({count}): {', '.join(named[:MAX_NAMED])}{more}; {remedy}")
    return "\n".join(lines)


@functools.cache  # a grid sets the same images up for each of its runs
def warn_once(message: str) -> None:
    """Log a warning, in this process the first time only."""
    logger.warning(message)


def dataset_error(name: str, root: Path, problems: Sequence[Problem]) -> DatasetError:
    """The error that lists all ``problems`` of the data set together."""
    n = sum(problem.n for problem in problems)
    count = "1 problem" if n == 1 else f"{n} problems"
    return DatasetError(f"data set {name!r} in {escaped(root)} has {count}:\n{describe(problems)}", problems)
