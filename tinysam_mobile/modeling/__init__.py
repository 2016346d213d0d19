"""The network in PyTorch, one file per part of the paper's figure."""
