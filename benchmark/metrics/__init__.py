"""Metrics from raw scores and maps, by the benchmark's protocol."""
