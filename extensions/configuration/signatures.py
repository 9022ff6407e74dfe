"""What a class takes, read from its source: torch and anomalib take seconds to import, and a wrong name need not wait.

Everything here is answered surely or not at all: None means that only an import can tell.
"""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class ClassSource:
    """A class as it stands in a file.

    Attributes:
        module: Dotted name of the file's module.
        node: Its definition.
    """

    module: str
    node: ast.ClassDef

    def bases(self) -> list["ClassSource | None"]:
        """The classes it derives from, None for one that is not found."""
        return [find_class(f"{self.module}.{ast.unparse(base)}") for base in self.node.bases]

    def ancestors(self) -> Iterator[str]:
        """Its name and those of all it derives from, as far as they are found."""
        yield self.node.name
        for base in self.bases():
            if base is not None:
                yield from base.ancestors()


@cache
def find_class(path: str) -> ClassSource | None:
    """The class at a dotted path, through the modules that pass it on; None where none is found."""
    module, _, name = path.rpartition(".")
    tree = _tree(module)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            return ClassSource(module, node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find_class(f"{_absolute(node, module)}.{alias.name}")
    return None


def exported(module: str) -> list[str]:
    """The names of a module's `__all__`, or of the imports of its stub; none where neither is found."""
    tree = _tree(module)
    passed: list[str] = []
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
        if isinstance(node, ast.ImportFrom):
            passed += [alias.asname or alias.name for alias in node.names]
    return passed


@cache
def parameter_names(path: str) -> frozenset[str] | None:
    """What the constructor of a class takes by name, with what it hands on to those of its parents.

    None where a parent that may take more of them is not found.
    """
    found = find_class(path)
    taken = None if found is None else _taken(found)
    return None if taken is None else frozenset(taken)


def _taken(found: ClassSource) -> list[str] | None:
    """In the order of the signature."""
    own = next((n for n in found.node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    names: list[str] = []
    if own is not None:
        names = [argument.arg for argument in [*own.args.posonlyargs, *own.args.args][1:] + own.args.kwonlyargs]
        if own.args.kwarg is None:
            return names
    for base in found.bases():
        taken = _taken(base) if base is not None else None
        if taken is None:
            return None
        names += _left(taken, own) if own is not None else taken
    return names


def _left(taken: list[str], constructor: ast.FunctionDef) -> list[str]:
    """What of a parent's arguments is still to be given where `constructor` calls `super().__init__(…, **kwargs)`."""
    calls = [node for node in ast.walk(constructor) if isinstance(node, ast.Call)]
    for call in calls:
        if ast.unparse(call.func) == "super().__init__" and any(keyword.arg is None for keyword in call.keywords):
            given = {keyword.arg for keyword in call.keywords}
            return [name for name in taken[len(call.args) :] if name not in given]
    return taken


def _absolute(node: ast.ImportFrom, module: str) -> str:
    """The module an import names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    is_package = (file := _file(module)) is not None and file.stem == "__init__"
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *filter(None, [node.module])])


@cache
def _tree(module: str) -> ast.Module | None:
    file = _file(module)
    return ast.parse(file.read_text(encoding="utf-8")) if file else None


@cache
def _file(module: str) -> Path | None:
    """Where a module's source is; a stub beside it, which names what is imported on first use, goes first."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top) if top else None
    except ValueError:  # a module that was not imported from a file
        return None
    for place in (spec and spec.submodule_search_locations) or ():
        base = Path(place).joinpath(*rest)
        files = [base / "__init__.pyi", base / "__init__.py", *([base.with_suffix(".py")] if rest else [])]
        if found := next((file for file in files if file.is_file()), None):
            return found
    return None
