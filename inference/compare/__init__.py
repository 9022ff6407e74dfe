"""The models of a benchmark beside one another on the line."""
