"""A trained model written for the line."""
