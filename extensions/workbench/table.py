"""The subcommands of `workbench`: what each is for, and which room's command it is."""

from dataclasses import dataclass

from extensions.cli.usage import WORKS


@dataclass(frozen=True)
class Subcommand:
    """One of them.

    Attributes:
        name: As it is typed.
        work: One line of help.
        room: Module whose `main(arguments, prog=…)` does it.
        arguments: Put before those given.
        alone: Whether the room's command has no subcommands and is called `workbench NAME` itself.
        choices: Words that may follow; the first one is meant when none does. Empty where the room looks itself.
    """

    name: str
    work: str
    room: str
    arguments: tuple[str, ...] = ()
    alone: bool = False
    choices: tuple[str, ...] = ()


def _same(room: str, **works: str) -> tuple[Subcommand, ...]:
    """Subcommands that a room has by the same names."""
    return tuple(Subcommand(name, work, room, (name,)) for name, work in works.items())


GROUPS: dict[str, tuple[Subcommand, ...]] = {
    "compare detectors": _same(
        "benchmark",
        run="run a grid of experiments and write the leaderboard",
        tune="look for the settings of detectors that suit the product",
        table="write the tables again from the records",
        pack="records and scores of a folder in a few files, for a repository",
        speed="measure our parts against stock anomalib",
        cache="what runs share on this machine: info | clear",
    ),
    "your data": (
        *_same(
            "extensions.data",
            check="open every file of a data set: its counts, or all problems at once",
            sheet="draw test images beside themselves with their masks outlined",
        ),
        Subcommand(
            "transforms", "draw what each named augmentation does: [show]", "extensions.transforms", choices=("show",)
        ),
    ),
    "dirty data": (
        Subcommand(
            "refine", "find the defects among training images, train on the rest", "extensions.refinement", alone=True
        ),
    ),
    "pretraining": (
        Subcommand(
            "pretrain",
            "a backbone that learns from your own images: [fit] | views | export",
            "extensions.self_supervised",
            choices=("fit", "views", "export"),
        ),
        Subcommand("probe", "how well frozen features tell classes apart", "extensions.self_supervised", ("probe",)),
        Subcommand(
            "backbones",
            "the backbones that are available here: [list] | readme",
            "extensions.backbones",
            choices=("list", "readme"),
        ),
    ),
    "on the line": _same(
        "inference",
        export="write a trained model as OpenVINO IR and ONNX, held against what was trained",
        predict="score images, a video or a camera",
        bench="measure images/s and latency of exported models",
        compare="export the models of a benchmark and hold them side by side",
        serve="a page on this machine: drop images, see what was found",
    ),
    "anomalib's command line": _same(
        "extensions", **{name: WORKS[name] for name in ("train", "fit", "validate", "test")}
    ),
}
SUBCOMMANDS = {one.name: one for group in GROUPS.values() for one in group}
