"""From a pretrained encoder to a backbone with a name."""
