"""Random programs against numpy and torch; hypothesis shrinks one that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mil.fuzz import check_program


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_programs_agree_with_numpy(data: st.DataObject) -> None:
    check_program(lambda low, high: data.draw(st.integers(low, high)))


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_twenty_thousand_random_programs(data: st.DataObject) -> None:
    check_program(lambda low, high: data.draw(st.integers(low, high)))
