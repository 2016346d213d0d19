"""Tests of the room `segment`."""
