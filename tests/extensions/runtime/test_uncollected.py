import gc

import pytest

from extensions.runtime.freed_memory import give_back_memory
from extensions.runtime.uncollected import uncollected


def test_collection_is_as_before_after_the_block() -> None:
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_giving_memory_back_leaves_what_is_in_use() -> None:
    kept = [bytes([number]) * 1000 for number in range(100)]
    give_back_memory()
    assert kept == [bytes([number]) * 1000 for number in range(100)]
