"""The recorded cases can fail: a rule that is broken gives another answer in one of them."""

from __future__ import annotations

from tests.app_fixtures.store import read_cases


def test_the_everything_cases_tell_mistakes_apart() -> None:
    """Each rule shows in some case: another order, budget or cleaning gives another answer."""
    answers = {case["name"]: case for case in read_cases("everything")}
    plain = answers["hierarchical_landscape"]
    for other in ("strict_nms", "high_score_never", "wide_offset", "budget", "tied_scores"):
        assert answers[f"hierarchical_{other}"]["objects"] != plain["objects"], other
    assert answers["flat_small_regions"]["objects"] != answers["flat_landscape"]["objects"]
    assert answers["one_pixel"]["objects"]
    assert not answers["no_survivor"]["objects"]
    assert len(answers["fully_covered"]["visited"]) < len(answers["no_survivor"]["visited"])
