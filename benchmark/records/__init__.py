"""Records of runs: one type, one reader, one writer, and which of them count."""
