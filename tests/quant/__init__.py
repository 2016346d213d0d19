"""Quantization: recipes, calibration, search, and what each format makes of a plan."""
