"""A manifest written as TOML reads back as the same manifest."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from evaluator.contract import manifest_parse
from leaderboard.methods.toml import manifest_toml
from tests.leaderboard.conftest import manifest_make

# Without what no manifest may hold: halves of characters, and NUL.
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_leaf = st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | _text
_value = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(_text, _value, max_size=5))
def test_free_settings_survive_the_way_through_toml(hparams: dict[str, object]) -> None:
    manifest = manifest_parse(manifest_make(hparams=hparams)).model_dump(mode="json")
    back = tomllib.loads(manifest_toml(manifest))
    assert manifest_parse(back).digest() == manifest_parse(manifest).digest()


def test_nulls_are_left_out() -> None:
    manifest = manifest_make(hparams={"steps": None, "lr": 0.1, "nested": {"a": None, "b": [1, None]}})
    assert tomllib.loads(manifest_toml(manifest))["hparams"] == {"lr": 0.1, "nested": {"b": [1]}}
