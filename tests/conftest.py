"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine.
settings.register_profile("tinysam", deadline=None)
settings.load_profile("tinysam")
