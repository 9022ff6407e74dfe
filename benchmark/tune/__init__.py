"""Settings that suit a product: searched for on images that are not tested."""
