"""Image encoders, a file per family."""
