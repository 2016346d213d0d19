"""Host benchmarks: each prints a table and writes JSON with machine and versions into benchmarks/results."""
