"""AvailabilityPreservingPolicy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.models.policy import Phase, Snapshot, next_action

READY, NEW, FAILED, LOADING = Phase.READY, Phase.NEW, Phase.FAILED, Phase.LOADING


@pytest.mark.parametrize(
    ("versions", "action"),
    [
        ([], None),
        ([Snapshot(1, NEW, True)], ("load", 1)),
        ([Snapshot(1, NEW, True), Snapshot(2, NEW, True)], ("load", 2)),
        ([Snapshot(1, READY, False), Snapshot(2, NEW, True)], ("load", 2)),
        ([Snapshot(1, READY, False), Snapshot(2, LOADING, True)], None),
        ([Snapshot(1, READY, False), Snapshot(2, FAILED, True)], None),
        ([Snapshot(1, READY, False), Snapshot(2, READY, True)], ("unload", 1)),
        ([Snapshot(1, READY, False)], ("unload", 1)),
        ([Snapshot(1, READY, False), Snapshot(2, READY, False), Snapshot(3, NEW, True)], ("unload", 1)),
        ([Snapshot(1, READY, True), Snapshot(2, NEW, True)], ("load", 2)),
    ],
)
def test_next_action(versions, action):
    assert next_action(versions) == action


@given(
    st.lists(
        st.builds(Snapshot, st.integers(1, 9), st.sampled_from(Phase), st.booleans()), unique_by=lambda s: s.number
    )
)
def test_a_served_model_stays_served_while_something_is_aspired(versions):
    action = next_action(versions)
    ready = {each.number for each in versions if each.phase is READY}
    if action is not None and action[0] == "unload" and any(each.aspired for each in versions):
        assert ready - {action[1]}
