"""Quantization recipes and how each format expresses them."""
