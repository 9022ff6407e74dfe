"""From records to frames: means, spreads, ranks, gaps."""
