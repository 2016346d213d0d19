"""What every format, app and file agrees on: tensors, entry points, rules as data."""
