"""A page and an endpoint on this machine."""
