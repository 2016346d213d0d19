"""Runtimes that execute converted artifacts on the host."""
