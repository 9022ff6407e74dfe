"""Help of anomalib's subcommands in our words: the options that most runs need, and an example of ours."""

PROG = "python -m extensions"
WORKS = {
    "train": "fit a model, then test it",
    "fit": "fit a model",
    "validate": "run the validation set through a model",
    "test": "evaluate a model on the test set",
    "predict": "run a model on images",
    "export": "write a trained model as torch, ONNX or OpenVINO file",
}
HELP_ALL = "--help-all"

_CONFIG = ("--config FILE", "model, data and trainer; see configs/ (any key can follow: --trainer.max_epochs 50)")
_CHECKPOINT = ("--ckpt_path FILE", "a checkpoint, or best or last of the newest run in --default_root_dir")
_ROOT = ("--default_root_dir DIR", "where runs are written (output/train)")
_SEED = ("--seed_everything N", "seeds everything before the model is built; drawn and told when it is not given")
_DEBUG = ("--debug", "show the traceback of an error; WORKBENCH_DEBUG=1 also shows all that libraries say")
_RECORD = ("--record DIR", "also write a benchmark record into DIR, which the leaderboard reads")
_LOG = ("--log NAME", "with --record: also send the record to wandb, mlflow or tensorboard (offline)")
_DATA = ("--data PATH", "an image or a folder of images, instead of the config's test set")
_TYPE = ("--export_type TYPE", "torch, onnx or openvino")
_DATA_ROOT = ("--data-root DIR", "where relative folders of data start (else $WORKBENCH_DATA)")
_PADIM = "--config configs/models/padim.yaml"

_OPTIONS = {
    "train": (_CONFIG, _DATA_ROOT, _RECORD, _LOG, _CHECKPOINT, _ROOT, _SEED, _DEBUG),
    "fit": (_CONFIG, _DATA_ROOT, _CHECKPOINT, _ROOT, _SEED, _DEBUG),
    "validate": (_CONFIG, _DATA_ROOT, _CHECKPOINT, _ROOT, _DEBUG),
    "test": (_CONFIG, _DATA_ROOT, _CHECKPOINT, _ROOT, _DEBUG),
    "predict": (_CONFIG, _CHECKPOINT, _DATA, _ROOT, _DEBUG),
    "export": (_CONFIG, _CHECKPOINT, _TYPE, _ROOT, _DEBUG),
}
_MORE = {
    "train": "",
    "fit": "",
    "validate": " --ckpt_path best",
    "test": " --ckpt_path best",
    "predict": " --ckpt_path best --data my/images",
    "export": " --ckpt_path best --export_type openvino",
}


def usage(prog: str) -> str:
    """What `prog --help` prints."""
    options = (_CONFIG, _CHECKPOINT, _ROOT, ("--record DIR", f"train only: {_RECORD[1]}"), _LOG, _DEBUG)
    works = "\n".join(f"  {name:10} {work}" for name, work in WORKS.items())
    return (
        f"usage: {prog} SUBCOMMAND --config FILE [options]\n\n"
        "anomalib's own command line, with our models, backbones and data known by name.\n\n"
        f"subcommands:\n{works}\n\n"
        f"options:\n{_table(options)}\n\n"
        f"{prog} SUBCOMMAND --help shows the options that matter and an example, {HELP_ALL} everything it takes.\n"
        "python -m extensions.backbones list shows the backbones; python -m benchmark compares models.\n"
    )


def usage_of(subcommand: str, prog: str) -> str:
    """What `prog SUBCOMMAND --help` prints."""
    return (
        f"usage: {prog} {subcommand} --config FILE [options]\n\n"
        f"{WORKS[subcommand][0].upper()}{WORKS[subcommand][1:]}: anomalib's {subcommand}, with our models, backbones "
        "and data known by name.\n\n"
        f"options:\n{_table(_OPTIONS[subcommand])}\n\n"
        f"all keys of a config, with their values: {prog} {subcommand} --config FILE --print_config\n"
        f"what a class takes: {prog} {subcommand} --model.help extensions.Padim\n"
        f"everything anomalib's parser takes: {prog} {subcommand} {HELP_ALL}\n\n"
        f"example:\n  {prog} {subcommand} {example(subcommand)}\n"
    )


def example(subcommand: str) -> str:
    """The arguments of a command that works from the project's folder on, once `train` has run where it tests."""
    return f"{_PADIM}{_MORE[subcommand]}"


def _table(rows: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"  {name:24} {meaning}" for name, meaning in rows)
