"""Hook of mkdocs.yml: pages from other folders, pages made from the code, and links that work in both places.

A page of the site lies in `docs/`, or it is a README, a notebook or CONTRIBUTING.md of the repository; its links are
written as the repository needs them. Here those to a page of the site become links on the site, those to an image
bring the image along, and those to any other file become plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "results/images/README.md", "weights/README.md",
           "extensions/models/*/README.md", "notebooks/*.ipynb")  # fmt: skip
PACKAGES = {  # reference pages: what each exports
    "benchmark": "Experiments from Python",
    "extensions": "Detectors, data, augmentation",
    "extensions.refinement": "Refinement",
    "extensions.self_supervised": "Pretraining",
    "inference": "Export and prediction",
}
MEMBERS = ("benchmark", "inference")  # the other classes are built and given to anomalib's Engine, not called
# The room exports nothing flat; this is what its notebook and `Run.export` use.
INFERENCE = (
    "inference.export.write_model.ExportOptions",
    "inference.export.write_model.export_model",
    "inference.model.predictors.load_predictor",
    "inference.predict.pipeline.predict",
    "inference.measure.bench.measure",
)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


@event_priority(100)  # before the plugin that renders notebooks looks for them
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/, and the images that pages show."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            _add(files, path, config)
    for file in list(files.documentation_pages()):
        if file.src_uri.endswith(".md"):
            for _, _, target, _ in LINK.findall(file.content_string):
                image = ROOT / posixpath.normpath(posixpath.join(posixpath.dirname(_in_repository(file)), target))
                if image.suffix in (".png", ".svg") and image.is_file() and "docs" not in image.relative_to(ROOT).parts:
                    _add(files, image, config)
    for package, title in PACKAGES.items():
        text = _reference(package, title)
        files.append(File.generated(config, f"reference/{package.replace('.', '-')}.md", content=text))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as the site needs them."""
    here = posixpath.dirname(page.file.src_uri)
    known = {_in_repository(file): file.src_uri for file in files} | {"README.md": "index.md", "docs": "index.md"}

    def replace(link: re.Match[str]) -> str:
        bang, text, target, anchor = link.groups()
        asked = posixpath.normpath(posixpath.join(posixpath.dirname(_in_repository(page.file)), target))
        found = known.get(asked) or known.get(f"{asked}/README.md")
        if found is None and not (ROOT / asked).exists():
            return link[0]  # mkdocs names the page and the link
        return text if found is None else f"{bang}[{text}]({posixpath.relpath(found, here or '.')}{anchor or ''})"

    return LINK.sub(replace, markdown)


def _add(files: Files, path: Path, config: MkDocsConfig) -> None:
    name = path.relative_to(ROOT).as_posix()
    if files.get_file_from_path(name) is None:
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))


def _in_repository(file: File) -> str:
    """Where a file of the site lies in the repository, as far as it does."""
    if file.src_dir is None or Path(file.src_dir) == ROOT:
        return file.src_uri
    return f"docs/{file.src_uri}"


def _reference(package: str, title: str) -> str:
    """A page of docstrings: what the package exports, wherever it lies."""
    module = import_module(package)
    names = INFERENCE
    if package != "inference":
        exports = [getattr(module, name) for name in module.__all__]
        exports += [entry for one in exports if isinstance(one, Mapping) for entry in one.values()]
        names = tuple(f"{one.__module__}.{one.__qualname__}" for one in exports if hasattr(one, "__qualname__"))
    options = "" if package in MEMBERS else "\n    options: {members: false}"
    objects = "\n\n".join(f"::: {name}{options}" for name in names)
    return f"# {title}\n\n`{package}`: {module.__doc__}\n\n{objects}\n"


def _commands() -> str:
    """A page of what each command of `workbench` prints with --help."""
    from extensions.workbench.table import GROUPS

    text = "# Commands\n\nMade from `--help`.\n"
    for group, subcommands in GROUPS.items():
        text += f"\n## {group[0].upper()}{group[1:]}\n"
        for one in subcommands:
            for choice in one.choices or ("",):
                words = [one.name, choice] if choice else [one.name]
                text += f"\n### workbench {' '.join(words)}\n\n```text\n{_help(words)}```\n"
    return text


def _help(words: list[str]) -> str:
    command = [sys.executable, "-m", "extensions.workbench", *words, "--help"]
    environment = os.environ | {"COLUMNS": "92", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout
