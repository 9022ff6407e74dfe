"""What other libraries say of themselves is not shown, what this project says is; `WORKBENCH_DEBUG=1` shows all."""

import logging
import os
import warnings

from extensions.runtime.progress import is_watched

OURS = ("extensions", "benchmark", "inference")
FOR_LIBRARIES = {  # to those that have handlers of their own
    "PYTHONWARNINGS": "ignore",  # in processes that this one starts
    "HF_HUB_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TORCH_LOGS": "-all",  # errors only
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # such as that NNPACK does not know the processor
}
WITHOUT_BARS = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def is_debugging() -> bool:
    """Whether `$WORKBENCH_DEBUG` asks for tracebacks and for all that libraries say."""
    return os.environ.get("WORKBENCH_DEBUG", "") not in {"", "0"}


def set_up_output(*, told: int = logging.WARNING) -> None:
    """Let only this project speak in this process, and errors; off a terminal nobody draws bars.

    To be called before large libraries are imported: they look then at what is set here.

    Args:
        told: The least level of what this project logs.
    """
    if not is_watched():
        for name, value in WITHOUT_BARS.items():
            os.environ.setdefault(name, value)
    if is_debugging():
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        return
    for name, value in FOR_LIBRARIES.items():
        os.environ.setdefault(name, value)
    logging.basicConfig(level=logging.WARNING)  # a root handler that is there keeps libraries from adding theirs
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # ours; not those that a program around us has set
            handler.setFormatter(_Sentence())
            handler.addFilter(is_shown)
    if told != logging.WARNING:
        for name in OURS:
            logging.getLogger(name).setLevel(told)
    warnings.simplefilter("ignore")
    # Libraries set filters of their own when they are imported.
    warnings.showwarning = lambda *_, **__: None


def is_shown(record: logging.LogRecord) -> bool:
    """Whether a log record is for the user: what this project says, and errors of any library."""
    return record.levelno >= logging.ERROR or record.name.partition(".")[0] in OURS


class _Sentence(logging.Formatter):
    """`warning: …`, as errors of commands are told; what is for information stands alone."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"
