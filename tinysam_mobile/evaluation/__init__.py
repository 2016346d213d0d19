"""Data sets in COCO's format and the figures of a model on them."""
