"""Pixels and masks without a network."""
