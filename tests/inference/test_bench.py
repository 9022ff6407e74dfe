import pandas as pd

from inference.bench import COLUMNS, measure, write


def test_bench_measures_backbone_network_files_and_anomalibs_inferencer(exported, checkpoint, tiny_root, tmp_path):
    frame = measure(
        [exported / "model.xml"],
        tiny_root / "test",
        streams=[1],
        batches=[2],
        stock=checkpoint,
        seconds=0.05,
    )
    assert list(frame["what"]) == ["backbone", "network", "end to end", "anomalib's inferencer"]
    assert tuple(pd.read_csv(write(frame, tmp_path)).columns) == COLUMNS
    assert (frame["images_per_second"] > 0).all()
    assert (frame["latency_p95_ms"] >= frame["latency_p50_ms"]).all()
    files = frame[frame["what"] == "end to end"].iloc[0]
    assert files["n"] % 8 == 0
