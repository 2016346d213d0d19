"""Tests of the room `sample_apps`."""
