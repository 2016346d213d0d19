"""Random programs against numpy and torch; hypothesis shrinks one that is wrong."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mil.fuzz import check_program


def test_random_programs_agree_with_numpy() -> None:
    with np.errstate(all="ignore"):
        for seed in range(40):
            check_program(random.Random(seed).randint)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_programs_that_hypothesis_draws_and_shrinks(data: st.DataObject) -> None:
    check_program(lambda low, high: data.draw(st.integers(low, high)))


@pytest.mark.slow
def test_twenty_thousand_random_programs() -> None:
    with np.errstate(all="ignore"):
        for seed in range(20_000):
            check_program(random.Random(seed).randint)
