"""Where the structure search tries new filters: in gaps between those that there are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatonline.families.gaps import angle_gaps, log_frequency_gaps


def circle_distance(a: float, b: float) -> float:
    apart = abs(a - b) % math.pi
    return min(apart, math.pi - apart)


@given(angles=st.lists(st.floats(-10, 10), min_size=1, max_size=8), data=st.data())
def test_first_angle_tried_is_as_far_from_all_others_as_can_be(
    angles: list[float], data: st.DataObject
) -> None:
    """No other direction is farther from its nearest neighbour."""
    car = data.draw(st.lists(st.floats(-1, 1), min_size=len(angles), max_size=len(angles)))
    tried = angle_gaps(angles, car)
    assert 1 <= len(tried) <= 3
    nearest = min(circle_distance(tried[0][0], a) for a in angles)
    everywhere = np.linspace(0, math.pi, 721)
    farthest = max(min(circle_distance(p, a) for a in angles) for p in everywhere)
    assert nearest >= farthest - 1e-9
    assert all(0 <= angle < math.pi for angle, _ in tried)
    assert tried[0][1].startswith("middle of the largest gap")


def test_angles_beside_the_best_filter_come_next() -> None:
    tried = [angle for angle, _ in angle_gaps([0.0, 0.5, 1.0, 1.4], [0.0, 0.9, 0.1, 0.0])]
    assert tried == pytest.approx([1.4 + (math.pi - 1.4) / 2, 0.75, 0.25])


@given(
    frequencies=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=8, unique=True), data=st.data()
)
def test_frequencies_tried_stand_between_their_neighbours(
    frequencies: list[float], data: st.DataObject
) -> None:
    """The first one in the middle (in octaves) of the widest gap."""
    car = data.draw(
        st.lists(st.floats(-1, 1), min_size=len(frequencies), max_size=len(frequencies))
    )
    tried = log_frequency_gaps(frequencies, car)
    logs = np.sort(np.log2(frequencies))
    if len(logs) == 1:
        assert abs(math.log2(tried[0][0]) - logs[0]) == pytest.approx(0.25)
        return
    widest = float(np.diff(logs).max())
    nearest = float(np.abs(math.log2(tried[0][0]) - logs).min())
    assert nearest == pytest.approx(widest / 2, abs=1e-9)
    assert all(logs[0] - 1e-9 <= math.log2(f) <= logs[-1] + 1e-9 for f, _ in tried)
