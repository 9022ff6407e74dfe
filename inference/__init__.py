"""On the line: exported networks that agree with training, and fast inference with them."""
