"""Tests of the room `distill`."""
