"""A folder with the artifacts of one checkpoint and the manifest that describes them."""
