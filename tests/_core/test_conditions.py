from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import make_screen

from pertscope._core.conditions import (
    ambiguous_labels,
    conditions_of,
    label_column,
    match_conditions,
)
from pertscope._core.screen import Screen

SCREEN = Screen(covariate_keys=("cell_type", "dose"))

tables = st.lists(
    st.tuples(
        st.sampled_from(["x", "y"]),
        st.sampled_from([1, 10, 2]),
        st.sampled_from(["control", "A", "B", "A+B"]),
    ),
    min_size=1,
    max_size=25,
).map(lambda rows: pd.DataFrame(rows, columns=SCREEN.condition_keys))


@settings(max_examples=50)
@given(table=tables)
def test_conditions_by_loop(table) -> None:
    found = conditions_of(table, SCREEN)
    rows = [tuple(map(str, r)) for r in table.itertuples(index=False)]
    assert [tuple(r) for r in found.table.to_numpy()] == sorted(set(rows))
    assert [tuple(found.table.iloc[c]) for c in found.codes] == rows
    assert found.n_cells.tolist() == [rows.count(r) for r in sorted(set(rows))]
    assert found.index.tolist() == ["|".join(r) for r in sorted(set(rows))]
    assert found.contexts == sorted({r[:2] for r in rows})
    assert [found.contexts[c] for c in found.context] == [
        tuple(r)[:2] for r in found.table.to_numpy()
    ]
    for i, (*context, label) in enumerate(found.table.to_numpy()):
        assert found.is_control[i] == (label == "control")
        assert found.is_combination[i] == (label == "A+B")
        control = (*context, "control")
        place = found.control_of[i]
        assert tuple(found.table.iloc[place]) == control if control in rows else place == -1
    assert match_conditions(table, found).tolist() == found.codes.tolist()
    some = np.arange(len(found))[::2]
    assert found.take(some).table.equals(found.table.iloc[::2].reset_index(drop=True))
    assert found.take(some).codes.tolist() == list(range(len(some)))


def test_without_covariates_there_is_one_context() -> None:
    found = conditions_of(pd.DataFrame({"perturbation": ["B", "control", "B"]}), Screen())
    assert found.contexts == [()]
    assert found.context.tolist() == [0, 0]
    assert found.control_of.tolist() == [1, 1]
    assert found.index.tolist() == ["B", "control"]


def test_matched_controls_must_exist() -> None:
    table = pd.DataFrame({"perturbation": ["A", "A", "control"], "cell_type": ["x", "y", "y"]})
    found = conditions_of(table, Screen(covariate_keys=("cell_type",)))
    assert found.matched_controls(np.array([1])).tolist() == [2]
    with pytest.raises(ValueError, match="no 'control' cells for 'x' any more"):
        found.matched_controls(np.array([0, 1]))
    alone = conditions_of(table.iloc[:1], Screen())
    with pytest.raises(ValueError, match="no 'control' cells any more"):
        alone.matched_controls(np.array([0]))


@pytest.mark.parametrize(
    ("values", "categories", "codes"),
    [
        (pd.Series(["b", "a", "b"], dtype=object), ["a", "b"], [1, 0, 1]),
        (pd.Series(["b", "a", "b"], dtype="string"), ["a", "b"], [1, 0, 1]),
        (pd.Series(pd.Categorical(list("bab"), categories=list("cba"))), ["a", "b"], [1, 0, 1]),
        (pd.Series([10, 9, 10]), ["10", "9"], [0, 1, 0]),
        (pd.Series(pd.Categorical([10, 9, 10])), ["10", "9"], [0, 1, 0]),
        (pd.Series([True, False, True]), ["False", "True"], [1, 0, 1]),
        (pd.Series([1.5, 0.0, 1.5]), ["0.0", "1.5"], [1, 0, 1]),
        (pd.Series(pd.Categorical([1, "1", 1], categories=[1, "1"])), ["1"], [0, 0, 0]),
    ],
    ids=lambda v: str(getattr(v, "dtype", "")),
)  # fmt: skip
def test_labels_are_sorted_strings_whatever_they_are_stored_as(values, categories, codes) -> None:
    column = label_column(values.to_frame("k"), "k")
    assert column.categories.tolist() == categories
    assert column.codes.tolist() == codes


def test_labels_of_any_type_are_the_same_screen(devel) -> None:
    screen = Screen("condition", covariate_keys=("cell_type",))
    as_category = conditions_of(devel.obs, screen)
    as_text = conditions_of(devel.obs.astype({"condition": str, "cell_type": object}), screen)
    assert as_category.table.equals(as_text.table)
    assert np.array_equal(as_category.codes, as_text.codes)
    assert len(as_category) == 64
    sizes = devel.obs.groupby(["cell_type", "condition"], observed=True).size()
    assert as_category.n_cells.tolist() == sizes.sort_index(key=lambda i: i.astype(str)).tolist()


def test_missing_columns_and_labels() -> None:
    table = pd.DataFrame({"cell_type": ["x", None]}, index=["c1", "c2"])
    with pytest.raises(KeyError, match="no column 'celltype'; nearest: 'cell_type'"):
        label_column(table, "celltype")
    with pytest.raises(ValueError, match=r"'cell_type'.* has 1 missing label\(s\), first at 'c2'"):
        label_column(table, "cell_type")


@pytest.mark.parametrize(
    ("label", "row"),
    [("B+A", 1), ("A + B", 1), ("A+control", 0), ("control", 2), ("C", -1), ("A+C", -1)],
)
def test_matching_ignores_the_order_of_parts(label, row) -> None:
    found = conditions_of(pd.DataFrame({"perturbation": ["A", "A+B", "control"]}), Screen())
    assert match_conditions(pd.DataFrame({"perturbation": [label]}), found).tolist() == [row]


@pytest.mark.parametrize(
    ("labels", "separator", "pairs"),
    [
        (["A", "B", "A+B"], "+", []),
        (["A+B", "B+A"], "+", [("A+B", "B+A")]),
        (["A", "A+control", "control"], "+", [("A", "A+control")]),
        (["A+B", "B+A"], None, []),
    ],
)
def test_ambiguous_labels(labels, separator, pairs) -> None:
    assert ambiguous_labels(labels, Screen(combination_separator=separator)) == pairs


def test_index_named_like_a_column() -> None:
    adata = make_screen()
    adata.obs.index.name = "perturbation"
    expected = conditions_of(adata.obs.rename_axis(None), Screen.of(adata))
    found = conditions_of(adata.obs, Screen.of(adata))
    pd.testing.assert_frame_equal(found.table, expected.table)
    np.testing.assert_array_equal(found.codes, expected.codes)


@pytest.mark.parametrize("n_rows", [1, 6, 400])
def test_codes_and_table_against_pandas(n_rows) -> None:
    """More pairs of labels than rows, and fewer; unused categories and labels that are numbers."""
    rng = np.random.default_rng(n_rows)
    obs = pd.DataFrame(
        {
            "perturbation": rng.choice(["control", "B", "a"], n_rows),
            "line": pd.Categorical(rng.choice(["z", "y"], n_rows), categories=["z", "unused", "y"]),
            "day": rng.integers(1, 12, n_rows),
        },
        index=[f"cell{i}" for i in range(n_rows)],
    )
    screen = Screen(perturbation_key="perturbation", covariate_keys=("line", "day"))
    found = conditions_of(obs, screen)
    groups = obs.astype(str).groupby(screen.condition_keys, sort=True)
    np.testing.assert_array_equal(found.codes, groups.ngroup())
    assert found.table.to_numpy().tolist() == [list(name) for name in groups.groups]
