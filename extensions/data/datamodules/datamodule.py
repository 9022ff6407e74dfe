"""The base of all our datamodules: list, check, split, once."""

import copy
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
from anomalib import TaskType
from anomalib.data.datamodules.base.image import AnomalibDataModule
from anomalib.data.utils import ValSplitMode
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Transform

from extensions.configuration.given_arguments_mixin import RemembersArguments
from extensions.data.alignment.alignment import Alignment
from extensions.data.checks.copies import contents_of
from extensions.data.checks.data_check import all_samples, raise_problems, tell_near_copies
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.alignment import checked_align, find_alignment, tell_unaligned
from extensions.data.datamodules.checked_arguments import checked_k_shot, checked_mode, checked_ratio, checked_seed
from extensions.data.datamodules.dataset import WorkbenchDataset
from extensions.data.datamodules.kind_folders import list_calibration
from extensions.data.datamodules.known_defects import checked_counts, list_known, take_known, with_known
from extensions.data.datamodules.listing import Listing
from extensions.data.datamodules.parts import checked_shared, shared_parts, without_shared
from extensions.data.datamodules.region import check_roi, region_of
from extensions.data.datamodules.tiles import TiledDataset, check_fill, check_resize, check_tiles
from extensions.data.datamodules.tuned_on import checked_tuned_on, take_tuned_on
from extensions.data.datamodules.values_mixin import ValuesMixin
from extensions.data.errors import DatasetError
from extensions.data.groups import GROUP, Shared, check_group, joined_parts, parts_of
from extensions.data.imaging import Imaging, unknown_imaging
from extensions.data.joint_training import ONE_EACH, ONE_FOR_ALL, PRODUCT
from extensions.data.part_score import WORST, check_part_score
from extensions.data.reading.files import absolute, from_data_root, relative_name
from extensions.data.regions.region import Region, check_border
from extensions.data.splits import few, held_out
from extensions.data.tiling.settings import Tiling
from extensions.runtime.cache_folder import cache_folder


class WorkbenchDataModule(RemembersArguments, ValuesMixin, AnomalibDataModule):
    """A datamodule whose data set is checked once and whose splits stay.

    Differs from anomalib's: ``setup`` splits once however often it is called, ratios of 0 are kept, splits are seeded,
    the test set is not cut in half unless asked, a split without images gives no batches instead of an error.

    Args:
        name: the data set's name in records and reports.
        root: the folder that image names are relative to.
        category: the category within the data set; "" for none.
        train_batch_size: images in a training batch.
        eval_batch_size: images in a validation or test batch.
        num_workers: images read at a time, by threads; by processes where augmentations are random, or by other models
            than ours.
        train_augmentations: applied to training images.
        val_augmentations: applied to validation images.
        test_augmentations: applied to test images.
        augmentations: applied where a split has none of its own.
        val_split_mode: ``same_as_test``; ``from_test`` or ``from_train``: ``val_split_ratio`` of that split's images
            are moved; ``synthetic``: that part of the training images, half of them with drawn defects; ``none``.
        val_split_ratio: see ``val_split_mode``.
        seed: of every split and every drawn defect.
        k_shot: train on so many of the training images only (few-shot), each of other content; None trains on all.
            They are drawn after ``val_split_mode`` took its images, so validation and test images are the same
            for every ``k_shot``: with ``from_train`` or ``synthetic`` a detector sees more good images than these.
            The draw goes by content; what is held out before goes by the order of names, too.
        k_shot_seed: of that draw. One seed draws the same images in every process, and those of a smaller
            ``k_shot`` are among those of a larger one. None for the seed of the run (``seed_everything``),
            ``seed`` outside of one.
        calibration_dir: folder of images that thresholds alone are fitted on: those of its subfolder ``good``, and
            those of its other subfolders as defects; it may have good ones only. None of them may be trained or tested
            on. Relative to the folder of the data set.
        known_defects: train on so many defects of the test set, too, in proportion to their kinds, as what they are:
            with label 1, their masks, and true in the column ``known``. They are not tested, never held out, and no
            part of ``k_shot``. Only detectors that learn from defects take them, such as `extensions.Cdo`. ``seed``
            draws them by their content, the seed of the run does not; what fewer draw more draw, too, if
            ``set_aside`` is the same.
        set_aside: take so many defects out of the test set, ``known_defects`` or more, so that runs with more and fewer
            are tested on the same images; None takes ``known_defects``.
        known_defects_dir: folder of more known defects, ``<kind>/<name>.png`` with ``ground_truth/<kind>/
            <name>_mask.png``; all of them are trained on. Relative to the folder of the data set.
        tuned_on: take so many defects out of the test set, in proportion to their kinds, for settings to be chosen by
            them (``workbench tune``): they are neither trained on nor tested, nor is any other test image of their
            parts. They need no masks.
        tuned_on_seed: of that draw, which goes by content; the seed of the run does not change it.
        group: which images are of one part: a regular expression that is searched in an image's name (its path relative
            to the root, with slashes) and whose first group names the part, such as ``part([0-9]+)_``; a ``.csv`` file
            with the columns file and group, files relative to where it lies or to the root; or ``folder``. All images
            of a part stay on one side of every split, hold-out and fold; ``k_shot`` counts parts, whose images all
            train; what is set aside or injected takes its part out of the test set. None: each image is a part, its
            copies with it.
        shared_groups: of parts with images in training and in test, which a check tells: ``keep`` them;
            ``not_trained`` leaves their training images out, so that the test set is the published one; ``not_tested``
            leaves out their test images.
        part_score: what a part scores, for the verdict on parts: the ``max`` of its images, their ``mean``, or
            ``top3``, the mean of the three highest (any number).
        roi: region of interest, outside of which nothing is looked at, neither in training nor in a test nor on the
            line: a mask image of the images' size (not zero is inside), a ``.yaml`` with ``polygons: [[[x, y], …], …]``
            in px, or ``foreground``, which is found anew in each image, see `extensions.data.regions.foreground`.
            Relative to the folder of the data set.
        ignore: a mask image or polygons of what is left out.
        border: width in px of the rim that is left out: along the border of the image and of the region. Of
            ``foreground`` at the size that the network sees, else at that of the images.
        tiling: for large images: ``{tile: 256, overlap: 32, resize: null}``, in px. The images are resized to
            ``resize`` (null leaves their size) and cut into tiles, which a detector is trained on; test images are
            whole, and what it finds in their tiles is stitched. Splits, names and counts are of images. See
            ``docs/tiling.md``.
        range: which values of the image files become 0 and 1, as ``[low, high]`` in the files' own counts, such as
            ``[0, 4095]`` of a 12-bit camera, or a list of such pairs, one for each channel; what lies outside is
            clipped, and nothing is rounded to 8 bits. ``auto``: the range of the good training images, see
            `extensions.data.checks.value_checks.found_range`. None: the full range of 8 or 16 bits, in 256 steps. The
            model keeps it, and applies it on the line. See ``docs/channels.md``.
        channels: of images that are not grey or RGB: the number of channels in a file (of a TIFF with all of its pages,
            or of NPY), or how the names of the files of an image end, such as ``[_rgb.png, _nir.png, _depth.png]``: the
            first file names the image, the others lie beside it, a grey one gives a channel and an RGB one three.
        align: for parts that lie turned or shifted: true has each image turned and shifted onto a template before any
            detector sees it, in training, in a test and on the line. The template is the mean of up to 24 good training
            images that were brought to one place themselves. ``{n_images: 24, least: null}`` sets how many, and the
            correlation with the template below which an image is told to be not aligned. Maps and masks stay in the
            frame of the image as it was taken. Not with ``tiling``, ``roi``, ``ignore`` or ``border``. See
            ``docs/alignment.md``.

    Attributes:
        calibration_data: these images, after ``setup``; None without them.
        unaligned: names of images that could not be aligned, after ``setup``.
        tuning_data: the images of ``tuned_on``, after ``setup``; None without them.

    Raises:
        ValueError: a mode, a ratio or a number of images that cannot be.
        DatasetError: on ``setup`` when there are fewer images than ``k_shot``; it says how many there are.
    """

    synthetic: bool = False
    _val_modes = (
        ValSplitMode.SAME_AS_TEST,
        ValSplitMode.FROM_TEST,
        ValSplitMode.FROM_TRAIN,
        ValSplitMode.SYNTHETIC,
        ValSplitMode.NONE,
    )

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        category: str = "",
        train_batch_size: int = 32,
        eval_batch_size: int = 32,
        num_workers: int = 2,
        train_augmentations: Transform | None = None,
        val_augmentations: Transform | None = None,
        test_augmentations: Transform | None = None,
        augmentations: Transform | None = None,
        val_split_mode: ValSplitMode | str = "same_as_test",
        val_split_ratio: float = 0.5,
        seed: int = 0,
        k_shot: int | None = None,
        k_shot_seed: int | None = None,
        calibration_dir: str | Path | None = None,
        known_defects: int = 0,
        set_aside: int | None = None,
        known_defects_dir: str | Path | None = None,
        tuned_on: int = 0,
        tuned_on_seed: int = 0,
        group: str | Path | None = None,
        shared_groups: Shared = "keep",
        part_score: str = WORST,
        roi: str | Path | None = None,
        ignore: str | Path | None = None,
        border: int = 0,
        tiling: dict[str, Any] | None = None,
        range: Sequence[float | Sequence[float]] | str | None = None,
        channels: int | Sequence[str] | None = None,
        align: bool | dict[str, Any] | None = None,
    ) -> None:
        self.tiling = None if tiling is None else Tiling.from_settings(tiling)
        super().__init__(
            train_batch_size=train_batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_augmentations=train_augmentations,
            val_augmentations=val_augmentations,
            test_augmentations=test_augmentations,
            augmentations=augmentations,
            val_split_mode=checked_mode(val_split_mode, self._val_modes, "val_split_mode"),
            seed=checked_seed(seed, "seed"),
        )
        self.val_split_ratio = checked_ratio(val_split_ratio, "val_split_ratio")  # the base turns 0.0 into 0.5
        self.k_shot = checked_k_shot(k_shot)
        self.k_shot_seed = None if k_shot_seed is None else checked_seed(k_shot_seed, "k_shot_seed")
        self.calibration_dir = calibration_dir
        self.known_defects_dir = known_defects_dir
        self.known_defects, self.set_aside = checked_counts(known_defects, set_aside)
        self.tuned_on = checked_tuned_on(tuned_on)
        self.tuned_on_seed = checked_seed(tuned_on_seed, "tuned_on_seed")
        check_group(group)
        self.group = group
        self.shared_groups = checked_shared(shared_groups, group)
        check_part_score(part_score)
        self.part_score = part_score
        self.roi, self.ignore, self.border = roi, ignore, check_border(border)
        check_roi(roi, self.tiling, name=name)
        self._found_region: Region | None = None
        self.align = align
        others = {"tiling": tiling, "roi": roi, "ignore": ignore, "border": border}
        self._align_settings = checked_align(align, name=name, others=others)
        self._found_alignment: Alignment | None = None
        self.unaligned: list[str] = []
        self._set_values(range, channels)
        check_resize(self.tiling, plainly=self.reads_plainly, name=name)
        self.calibration_data: WorkbenchDataset | None = None
        self.tuning_data: WorkbenchDataset | None = None
        self._run_seed: int | None = None
        self._k_shot_images: list[str] = []
        self._is_setup = False
        self._name = name
        self._root = root
        self._category = category

    @property
    def name(self) -> str:
        """The data set's name."""
        return self._name

    @property
    def root(self) -> Path:
        """The folder that image names are relative to."""
        return self._root

    @property
    def imaging(self) -> Imaging:
        """How images reach a detector; known after ``setup``."""
        if not self._is_setup:
            self.setup()
        return self._imaging

    @property
    def _imaging(self) -> Imaging:
        """As far as it is known."""
        return Imaging(
            region=self._found_region,
            tiling=self.tiling,
            range=self._value_range,
            channels=self._channels,
            alignment=self._found_alignment,
        )

    @property
    def product_names(self) -> list[str]:
        """The products that are trained on together; empty for a data set that is one product."""
        return []

    @property
    def training(self) -> str:
        """``one_for_all`` where several products train together, else ``one_each``."""
        return ONE_FOR_ALL if len(self.product_names) > 1 else ONE_EACH

    @property
    def k_shot_images(self) -> list[str]:
        """Names of the images that ``k_shot`` drew, as in records; empty without it; known after ``setup``."""
        self.setup()
        return list(self._k_shot_images)

    def take_run_seed(self, seed: int) -> None:
        """Let a run's own seed draw what is left to it; to be called before ``setup``."""
        self._run_seed = seed

    @abstractmethod
    def _list(self) -> Listing:
        """Find the images; raise DatasetMissingError for folders that are not there."""

    def setup(self, stage: str | None = None) -> None:
        """List, check and split the data set, the first time only; then hand the model's resize to the splits.

        Raises:
            DatasetMissingError: a folder is not there; it is named.
            DatasetError: all problems of the data set together.
        """
        if not self._is_setup:
            self._setup(stage)
            self._is_setup = True
        self._update_augmentations()

    def _setup(self, _stage: str | None = None) -> None:
        listings = [self._list()]
        folder = self._calibration_folder
        listings.append(
            list_calibration(folder, root=self.root, name=self.name, channels=self.channels) if folder else Listing()
        )
        folder = self._known_folder
        listings.append(
            list_known(folder, root=self.root, name=self.name, channels=self.channels) if folder else Listing()
        )
        samples, calibration, known = map(self._grouped, listings)
        samples = self._split_test(samples)
        listed = [problem for listing in listings for problem in listing.problems]
        samples = without_shared(samples, self.shared_groups, name=self.name)
        everything = pd.concat([samples, *(part for part in (calibration, known) if len(part))], ignore_index=True)
        listed += shared_parts(everything, root=self.root)
        listed += self._value_problems(everything)
        raise_problems(everything, listed, name=self.name, root=self.root, reads_plainly=self.reads_plainly)
        self._found_region = self._region(everything)
        check_fill(self._imaging, name=self.name)
        check_tiles(self.tiling, everything["image_path"], name_of=self.relative, imaging=self._imaging)
        samples, drawn = self._take_known(self._draw_test(samples))
        samples, tuning = self._take_tuned_on(samples)
        train, test = (samples[samples["split"] == split] for split in ("train", "test"))
        train, val, test = self._split_val(train, test)
        train = self._draw_few(train)
        has_masks = any((part["mask_path"] != "").any() for part in (train, val, test))
        self._task = TaskType.SEGMENTATION if has_masks else TaskType.CLASSIFICATION
        train = with_known(train, drawn, known)
        self._take_range(train)
        if self._align_settings is not None:
            self._found_alignment = find_alignment(
                train, self._align_settings, self._imaging, name=self.name, seed=self.seed
            )
        self.train_data = self._training_dataset(train)
        self.test_data = self._dataset(test)
        self.val_data = self._dataset(val)
        self.calibration_data = self._dataset(calibration) if len(calibration) else None
        self.tuning_data = self._dataset(tuning) if len(tuning) else None
        tell_near_copies(all_samples(self), name=self.name, root=self.root)
        if self._found_alignment is not None:
            paths = [str(path) for path in all_samples(self)["image_path"]]
            self.unaligned = tell_unaligned(paths, self._imaging, name=self.name, name_of=self.relative)

    def _region(self, samples: pd.DataFrame) -> Region | None:
        """The region of interest, checked against these images."""
        if self.roi is None and self.ignore is None and not self.border:
            return None
        return region_of(
            samples,
            roi=self.roi,
            ignore=self.ignore,
            border=self.border,
            folder=self._folder_of_relative,
            name=self.name,
            root=self.root,
        )

    def _grouped(self, listing: Listing) -> pd.DataFrame:
        """The files that were found, with the part of each in the column ``group`` where parts are named."""
        samples = listing.frame()
        if self.group is None:
            return samples
        paths = samples["image_path"].tolist()
        names = [self.relative(path) for path in paths]
        named = parts_of(paths, names, self.group, folder=self._folder_of_relative, name=self.name)
        return samples.assign(**{GROUP: named})

    def per_product(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """For a benchmark: these arguments, once for each product that is tested, so that it alone is.

        Args:
            arguments: with which this datamodule was built.

        Raises:
            DatasetMissingError: which products there are is told by folders that are not there.
        """
        return [dict(arguments)]

    def _adopt(self, parts: Mapping[str, Self]) -> None:
        """Take over what the parts of a joined data set know of their draws."""
        drawing = [name for name, part in parts.items() if part.k_shot]
        train = self.train_data.samples
        drawn = train[train[PRODUCT].isin(drawing) & ~train["known"]]
        self._k_shot_images = sorted(map(self.relative, drawn["image_path"]))

    @property
    def _folder_of_relative(self) -> Path:
        """Where a relative ``calibration_dir`` starts."""
        return from_data_root("")

    @property
    def _calibration_folder(self) -> Path | None:
        return absolute(self.calibration_dir, base=self._folder_of_relative) if self.calibration_dir else None

    @property
    def _known_folder(self) -> Path | None:
        return absolute(self.known_defects_dir, base=self._folder_of_relative) if self.known_defects_dir else None

    def _split_test(self, samples: pd.DataFrame) -> pd.DataFrame:
        """The samples with test images chosen, where the layout does not say which they are."""
        return samples

    def _draw_test(self, samples: pd.DataFrame) -> pd.DataFrame:
        """The checked samples with drawn test images in place of real ones, where that is asked for."""
        return samples

    def _take_known(self, samples: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The samples without the defects that are set aside, and those of them that are known in training."""
        if not self.set_aside:
            return samples, samples.iloc[:0]
        return take_known(
            samples,
            self._tested_defects(samples),
            n=self.known_defects,
            n_set_aside=self.set_aside,
            seed=self.seed,
            name=self.name,
        )

    def _take_tuned_on(self, samples: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The samples without the defects that settings are chosen by, and these."""
        if not self.tuned_on:
            return samples, samples.iloc[:0]
        defects = self._tested_defects(samples)
        return take_tuned_on(
            samples,
            defects.drop(columns=["content", "name"]),
            defects["content"].tolist(),
            n=self.tuned_on,
            seed=self.tuned_on_seed,
            name=self.name,
        )

    def _tested_defects(self, samples: pd.DataFrame) -> pd.DataFrame:
        """The defects of the test set by name, with their part or content: of several images the first one stands."""
        defects = samples[(samples["split"] == "test") & (samples["label_index"] == 1)]
        names = [self.relative(path) for path in defects["image_path"]]
        return defects.assign(content=self._units(defects), name=names).sort_values("name")

    def _split_val(self, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Training, validation and test samples by ``val_split_mode``."""
        if self.val_split_mode == ValSplitMode.SAME_AS_TEST:
            return train, copy.deepcopy(test), test
        if self.val_split_mode == ValSplitMode.NONE:
            return train, test.iloc[:0], test
        source = test if self.val_split_mode == ValSplitMode.FROM_TEST else train
        chosen = self._hold_out(source, self.val_split_ratio)
        val, rest = source[chosen].assign(split="val"), source[~chosen]
        if self.val_split_mode == ValSplitMode.FROM_TEST:
            return train, val, rest
        if self.val_split_mode == ValSplitMode.SYNTHETIC:
            val = self._with_defects(val)
        return rest, val, test

    def _draw_few(self, train: pd.DataFrame) -> pd.DataFrame:
        """``k_shot`` of the training samples, or all."""
        if self.k_shot is None or train.empty:
            return train
        units = self._units(train)
        n = len(set(units))
        if self.k_shot > n:
            what = "training images that differ" if self.group is None else "parts among its training images"
            msg = (
                f"k_shot is {self.k_shot}, but data set {self.name!r} has {n} {what} "
                f"(val_split_mode is {self.val_split_mode.value!r}); set it to 1 to {n}, or to null for all"
            )
            raise DatasetError(msg)
        seeds = (self.k_shot_seed, self._run_seed, self.seed)
        seed = next(seed for seed in seeds if seed is not None)
        chosen = few(units, self.k_shot, seed=seed)
        if self.group is not None:
            names = {units[row] for row in chosen}
            chosen = [row for row, unit in enumerate(units) if unit in names]
        drawn = train.iloc[chosen]
        self._k_shot_images = sorted(map(self.relative, drawn["image_path"]))
        return drawn

    def _hold_out(self, samples: pd.DataFrame, ratio: float) -> Any:
        """(N,) bool: the seeded choice of ``ratio`` of the samples of each label."""
        units, labels = self._units(samples), samples["label_index"]
        labels = labels.groupby(units).transform("max")  # a part with a defect is one of the defective ones
        return held_out(units, ratio, seed=self.seed, labels=labels.tolist())

    def _units(self, samples: pd.DataFrame) -> list[str]:
        """What is drawn as a whole: the part of each sample, or the content of its image."""
        contents = self._contents(samples)
        return contents if self.group is None else joined_parts(contents, samples[GROUP].tolist())

    def _contents(self, samples: pd.DataFrame) -> list[str]:
        """What each sample's image holds, as a hash: images of equal pixels stay in one split."""
        return contents_of(samples["image_path"], inspect_files(samples["image_path"], title=f"reading {self.name}"))

    def _with_defects(self, normal: pd.DataFrame) -> pd.DataFrame:
        """Half of these normal samples with defects drawn on them."""
        from extensions.data.synthetic.drawn_images import draw_on_half

        region = self._imaging.region
        return draw_on_half(normal, seed=self.seed, inside=None if region is None else region.mask)

    def _dataset(self, samples: pd.DataFrame) -> WorkbenchDataset:
        is_trained = self.val_split_mode == ValSplitMode.FROM_TRAIN and set(samples["split"]) == {"val"}
        if self.tiling is not None and is_trained:  # for a loss, which is of tiles
            return TiledDataset(samples, name=self.name, task=self._task, imaging=self._imaging)
        return WorkbenchDataset(samples, name=self.name, task=self._task, imaging=self._imaging)

    def _training_dataset(self, samples: pd.DataFrame) -> WorkbenchDataset:
        """With the masks of known defects, also where no other image has one."""
        task = TaskType.SEGMENTATION if samples["known"].any() else self._task
        if self.tiling is not None:
            return TiledDataset(samples, name=self.name, task=task, imaging=self._imaging)
        dataset = WorkbenchDataset(samples, name=self.name, task=task, imaging=self._imaging)
        dataset.aligns_masks = True
        return dataset

    @property
    def task(self) -> TaskType:
        """Segmentation when the data set has masks, else classification; known after ``setup``."""
        self.setup()
        return self._task

    def relative(self, path: str | Path) -> str:
        """An image's name in records: relative to the root, equal on every machine."""
        drawn = str(cache_folder()) + os.sep
        if str(path).startswith(drawn) and not str(self.root).startswith(drawn):
            return "drawn/" + relative_name(path, cache_folder())
        return relative_name(path, self.root)

    def train_dataloader(self) -> Any:
        """Training batches; none for a split without images."""
        return super().train_dataloader() if len(self.train_data) else []

    def val_dataloader(self) -> Any:
        """Validation batches; none for a split without images."""
        return self._evaluated(super().val_dataloader) if len(self.val_data) else []

    def test_dataloader(self) -> Any:
        """Test batches; none for a split without images."""
        return self._evaluated(super().test_dataloader) if len(self.test_data) else []

    def _evaluated(self, load: Callable[[], Any]) -> Any:
        """Of large images one at a time, read by this process: several, and copies on their way, take memory."""
        loader = load()
        if self.tiling is None or getattr(loader.dataset, "gives_tiles", False):
            return loader
        return DataLoader(loader.dataset, batch_size=1, collate_fn=loader.collate_fn)

    def _update_augmentations(self) -> None:
        """Give the splits their augmentations and the model's resize, which whole images of tiles do without.

        Raises:
            ValueError: The trainer's model is none of ours, and there is something that it must know.
        """
        model = getattr(self.trainer, "model", None)
        if model is not None and not self.imaging.is_plain and not hasattr(model, "imaging"):
            raise unknown_imaging(model, self)
        super()._update_augmentations()
        if self.tiling is None:
            return
        for name in ("val", "test"):
            split = getattr(self, f"{name}_data")
            if not getattr(split, "gives_tiles", False):
                split.augmentations = getattr(self, f"{name}_augmentations", None)
