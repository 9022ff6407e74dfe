"""How sure a number is, which detector is better, and what a detector does at a stated requirement: pure functions."""
