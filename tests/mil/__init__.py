"""Build ML Programs for tests straight from the protobuf, without coremltools' converter."""
