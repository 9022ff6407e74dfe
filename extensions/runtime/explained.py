"""An error in one sentence: ours as they are, those from the depths of libraries with what was being done."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dis import opname

from extensions.runtime.downloads import download_error
from extensions.runtime.escaped import writable
from extensions.runtime.stages import stages

ROOMS = ("extensions", "benchmark", "inference")
_STEP = "step: "
_IN_WORKER = re.compile(r"^Caught (\w+) in .*process \d+\.")
_REMEDIES = (
    (
        "Expected more than 1 value per channel when training",
        "batch normalization needs more than one value of each channel: give a train_batch_size that leaves no batch "
        "of one image, or a larger image_size",
    ),
    ("Padding size should be less than", "the images are too small for this network: give a larger image_size"),
    (
        "out of memory",
        "there is not enough memory: lower train_batch_size, eval_batch_size or image_size, or take a smaller backbone",
    ),
)


@contextmanager
def step(name: str) -> Iterator[None]:
    """A stage of a run, of which an error that ends the block tells the name; the innermost step counts."""
    try:
        with stages.stage(name):
            yield
    except Exception as error:
        if not _step_of(error):
            error.add_note(f"{_STEP}{name}")
        raise


def explained(error: Exception, *, what: str = "") -> str:
    """One line about an error.

    Args:
        error: With its traceback.
        what: Ran when it came up, such as the name of a model; told where the error itself does not say enough.
    """
    text = writable(" ".join(str(error).split()))
    if is_ours(error) and text:
        return text
    if found := download_error(error):
        return writable(f"{what}: {found}" if what else found)
    kind = type(error).__name__
    if found_in_worker := _IN_WORKER.match(text):  # torch makes a whole traceback of it
        kind, text = found_in_worker[1], text.rpartition(f"{found_in_worker[1]}: ")[2]
    remedy = next((f"; {remedy}" for sign, remedy in _REMEDIES if sign in text), "")
    where = ", ".join(part for part in (what, _step_of(error)) if part)
    return f"{where + ': ' if where else ''}{kind}{': ' + text if text else ''}{remedy}"


def is_ours(error: BaseException) -> bool:
    """Whether our own code put this error into words: it is of our type, or the last frame is ours and raises it."""
    if type(error).__module__.split(".")[0] in ROOMS:
        return True
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
    # An operation of torch that fails in a line of ours has a frame of ours, too, but no `raise`.
    return module in ROOMS and opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


def _step_of(error: BaseException) -> str:
    notes = getattr(error, "__notes__", ())
    return next((note.removeprefix(_STEP) for note in notes if note.startswith(_STEP)), "")
