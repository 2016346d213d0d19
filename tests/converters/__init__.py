"""Tests of the room `converters`."""
