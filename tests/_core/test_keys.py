from __future__ import annotations

import pytest

from pertscope._core.keys import check_key


def test_good_keys_come_back() -> None:
    assert check_key("latent additive (v2)") == "latent additive (v2)"


@pytest.mark.parametrize("key", ["", "a/b", "/"])
def test_keys_that_files_cannot_hold(key) -> None:
    with pytest.raises(ValueError, match=f"`what`='{key}' cannot be stored"):
        check_key(key, "what")


@pytest.mark.parametrize("key", [None, 1, ("a",)])
def test_keys_are_strings(key) -> None:
    with pytest.raises(TypeError, match=f"must be a string, not {type(key).__name__}"):
        check_key(key)
