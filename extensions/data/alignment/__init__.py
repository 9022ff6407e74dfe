"""Parts that lie turned and shifted, brought to one place before a detector sees them."""
