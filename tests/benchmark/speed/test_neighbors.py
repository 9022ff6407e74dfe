"""The comparison of searches: all of them find the same, and stock is the unit."""

import torch

from benchmark.speed.neighbors import time_neighbors


def test_every_search_is_timed_and_close_to_double_precision():
    generator = torch.Generator().manual_seed(0)
    frame = time_neighbors(
        torch.rand(80, 16, generator=generator), torch.rand(300, 16, generator=generator), rounds=1
    ).set_index("search")
    assert {"ours", "stock"} <= set(frame.index)
    assert frame.loc["stock", "ratio"] == 1
    assert (frame["largest_error"] < 1e-5).all()
    assert frame.loc["ours", "largest_error"] <= frame.loc["stock", "largest_error"]
    assert (frame["n_rows"] == 300).all()
