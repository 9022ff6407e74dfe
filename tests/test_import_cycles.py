"""No file imports itself through others; imports inside functions count. `make lint` tests the order of the rooms."""

import graphlib

import grimp
import pytest


@pytest.mark.parametrize("package", ["extensions", "benchmark", "inference"])
def test_no_file_imports_itself_through_others(package):
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    graphlib.TopologicalSorter(imports).prepare()  # its error names the files of a cycle
