"""Several data sets, a product each, as one: a detector is trained on all of them together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extensions.configuration import instantiate_data
from extensions.data.checks.data_check import all_samples
from extensions.data.datamodules.datamodule import WorkbenchDataModule
from extensions.data.datamodules.mvtec_ad import checked_training
from extensions.data.datamodules.together import set_up_together
from extensions.data.joint_training import ALL, ONE_EACH, ONE_FOR_ALL, PRODUCT

_OF_EACH_PART = (
    *("calibration_dir", "known_defects", "known_defects_dir", "set_aside", "group", "shared_groups"),
    *("range", "channels", "roi", "ignore", "border"),
)


class Products(WorkbenchDataModule):
    """Several folders, or other data sets of ours, as one: a product each.

    Each part is listed, checked and split by itself, by its own arguments, so that its test images are those it has
    alone. Batches and augmentations are those of the whole. The samples have a column ``product``; the same image in
    training of one product and in the test of another is an error. The name of an image in records is the product's,
    then the one that the part gives it.

    Args:
        products: the parts: entries of a config with ``class_path`` and ``init_args``, or datamodules of ours. A
            product's name is its category where it has one, else its ``name``.
        name: the data set's name.
        test_product: the one that is tested on, and validated on where validation images are test images; None for all.
            A benchmark tests each in turn.
        training: ``one_for_all`` trains one detector on all products; ``one_each`` one on ``test_product`` alone, with
            the same names of images, so that the two compare.
        data_root: where relative roots start (``--data-root``); None for ``$WORKBENCH_DATA``, else the working
            directory.
        val_split_mode: this and the four that follow hold for each part that is an entry and does not say otherwise.
        val_split_ratio: see `WorkbenchDataModule`, as for all that follow.
        k_shot: images of each product.
        k_shot_seed: of that draw.
        seed: of every split.
        kwargs: see `WorkbenchDataModule`; ``calibration_dir``, ``group``, ``range``, ``channels`` and what says which
            defects are known stand in each product, ``part_score`` holds for all.

    Raises:
        ValueError: no products, two of one name, parts whose ``val_split_mode`` differs, a ``test_product`` that is
            none of them, or an argument that stands in each part.

    Example:
        >>> cap = Folder("cap", normal_dir="cap/good", abnormal_dir="cap/bad")
        >>> lid = Folder("lid", normal_dir="lid/good", abnormal_dir="lid/bad")
        >>> data = Products([cap, lid], name="closures", test_product="lid")
    """

    def __init__(
        self,
        products: Sequence[dict[str, Any] | WorkbenchDataModule],
        name: str,
        test_product: str | None = None,
        training: str = ONE_FOR_ALL,
        data_root: str | Path | None = None,
        val_split_mode: str = "same_as_test",
        val_split_ratio: float = 0.5,
        k_shot: int | None = None,
        k_shot_seed: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        for argument in _OF_EACH_PART:
            if kwargs.get(argument) not in (None, 0, "keep"):
                msg = f"{argument} is {kwargs[argument]!r} for data set {name!r} as a whole; give it to each product"
                raise ValueError(msg)
        drawn = {"val_split_mode": val_split_mode, "val_split_ratio": val_split_ratio, "k_shot": k_shot}
        drawn |= {"k_shot_seed": k_shot_seed} | ({} if seed is None else {"seed": seed})
        built = [_part(one, drawn, None if data_root is None else Path(data_root)) for one in products]
        self._parts = _named(name, built, test_product)
        if cut := [one.name for one in built if one.tiling is not None]:
            msg = f"tiling stands in the product {cut[0]!r}; give it to data set {name!r} as a whole: all are cut alike"
            raise ValueError(msg)
        modes = {part.val_split_mode for part in built}
        if len(modes) > 1:
            found = " and ".join(sorted(mode.value for mode in modes))
            msg = f"the products of data set {name!r} have val_split_mode {found}; expected one and the same"
            raise ValueError(msg)
        self.test_product = test_product
        self._is_one_each = checked_training(training) == ONE_EACH
        super().__init__(
            name=name,
            root=Path(os.path.commonpath([part.root for part in built])),
            category=test_product or (ALL if len(built) > 1 else next(iter(self._parts))),
            val_split_mode=modes.pop(),
            val_split_ratio=built[0].val_split_ratio,
            k_shot=_common(part.k_shot for part in built),
            k_shot_seed=_common(part.k_shot_seed for part in built),
            seed=seed or 0,
            **kwargs,
        )
        self.synthetic = any(part.synthetic for part in built)
        self._product_of: dict[str, str] = {}

    @property
    def product_names(self) -> list[str]:
        """The products that are trained on together; empty for one."""
        return list(self._parts) if len(self._parts) > 1 and not self._is_one_each else []

    def per_product(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `WorkbenchDataModule.per_product`: each is the ``test_product`` once."""
        tested = [name for name in self._parts if self.test_product in (None, name)]
        return [{**arguments, "test_product": name} for name in tested]

    def _setup(self, _stage: str | None = None) -> None:
        parts = self._parts
        if self._is_one_each and len(parts) > 1:
            if self.test_product is None:
                msg = (
                    f"training is {ONE_EACH!r} with {len(parts)} products of data set {self.name!r}; name the one to "
                    f"train and test on as test_product (a benchmark takes each in turn), or set training to "
                    f"{ONE_FOR_ALL!r}"
                )
                raise ValueError(msg)
            parts = {self.test_product: parts[self.test_product]}
        set_up_together(self, parts, tested=self.test_product)

    def relative(self, path: str | Path) -> str:
        """An image's name in records: the product's, then that within it."""
        name = self._product_of[str(path)]
        return f"{name}/{self._parts[name].relative(path)}"

    def _adopt(self, parts: Mapping[str, WorkbenchDataModule]) -> None:
        samples = all_samples(self)
        self._product_of = dict(zip(samples["image_path"].astype(str), samples[PRODUCT], strict=True))
        super()._adopt(parts)
        train = self.train_data.samples
        if "injected" in train:  # of contaminated parts, as `Contaminated` tells it
            injected = train[train["injected"]]
            self.injected = frozenset(injected["image_path"])
            self.contamination_ratio = len(injected) / max(1, int((~train["known"]).sum()))
            kinds = dict(sorted(Counter(injected["kind"].tolist()).items()))
            self.contamination = {"ratio": self.contamination_ratio, "n_injected": len(injected), "kinds": kinds}

    def _list(self) -> Any:
        raise NotImplementedError  # its parts list their images


def _part(given: dict[str, Any] | WorkbenchDataModule, drawn: Mapping[str, Any], root: Path | None) -> Any:
    """One product as a datamodule."""
    if isinstance(given, WorkbenchDataModule):
        return given
    part = instantiate_data({**given, "init_args": {**drawn, **(given.get("init_args") or {})}}, root)
    if not isinstance(part, WorkbenchDataModule):
        msg = (
            f"products: {type(part).__name__} is no data set of ours; expected extensions.Folder, extensions.MVTecAD "
            "or another class of extensions"
        )
        raise ValueError(msg)
    return part


def _named(name: str, parts: Sequence[WorkbenchDataModule], tested: str | None) -> dict[str, WorkbenchDataModule]:
    """The parts by the names of their products, or a ValueError about these."""
    found = {part.category or part.name: part for part in parts}
    if not found or len(found) < len(parts):
        names = [part.category or part.name for part in parts]
        msg = f"data set {name!r} has the products {names}; expected one or several, each of another name or category"
        raise ValueError(msg)
    if tested is not None and tested not in found:
        msg = f"test_product is {tested!r}; expected one of {', '.join(found)}"
        raise ValueError(msg)
    return found


def _common(values: Iterator[Any]) -> Any:
    """The one value of all; None where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
