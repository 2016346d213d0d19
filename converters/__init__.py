"""One converter per mobile format."""
