from __future__ import annotations

import pytest

from pertscope._core.messages import listed, nearest


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "'a'"),
        ("abcde", "'a', 'b', 'c', 'd', 'e'"),
        (range(6), "'0', '1', '2', '3', '4' and 1 more"),
    ],
)
def test_listed(names, text) -> None:
    assert listed(names) == text


@pytest.mark.parametrize(
    ("name", "names", "text"),
    [
        ("contrl", ["A", "control"], "nearest: 'control'"),
        ("CONTROL", ["Control", "A"], "nearest: 'Control'"),
        ("zzz", ["A", "B"], "there are: 'A', 'B'"),
        ("x", [], "there are: "),
        (3, [13, 30], "nearest: '13', '30'"),
    ],
)
def test_nearest(name, names, text) -> None:
    assert sorted(nearest(name, names)) == sorted(text)
