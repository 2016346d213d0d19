"""Tests of the room `bundle`."""
