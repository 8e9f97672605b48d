"""simulate_screen: what is drawn follows what is promised to be true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from pertscope.datasets import _simulation_assembly as assembly
from pertscope.datasets import simulate_screen

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"n_perturbations": 4, "n_genes": 60, "n_cells_per_condition": 20, "n_controls": 30}
# No noise besides the counts themselves, and one context.
PLAIN = {"covariates": ("A",), "n_batches": 1, "batch_effect": 0.0, "library_size_sd": 0.0}


def truth_of(adata: ad.AnnData) -> ad.AnnData:
    return adata.uns["simulation"]["truth"]


def cp10k_means(adata: ad.AnnData) -> pd.DataFrame:
    """Mean CP10k of each condition, by expected library size, in the order of the truth."""
    scaled = sp.diags_array(1e4 / adata.obs["library_size"].to_numpy()) @ adata.X
    keys = ["cell_type", "perturbation"]
    names = adata.obs[keys].astype(str).agg("|".join, axis=1)
    columns = pd.get_dummies(names, dtype=float)[truth_of(adata).obs_names]
    sums = columns.to_numpy().T @ scaled
    return pd.DataFrame(sums / columns.sum().to_numpy()[:, None], columns.columns, adata.var_names)


def test_default_call_gives_a_screen_of_counts() -> None:
    adata = simulate_screen()
    assert adata.shape == (3 * (300 + 20 * 100), 500)
    assert isinstance(adata.X, sp.csr_matrix)
    assert adata.X.dtype == np.float32
    assert adata.X.data.min() >= 1
    assert np.array_equal(adata.X.data, np.rint(adata.X.data))
    assert adata.X.has_canonical_format
    assert adata.obs_names.is_unique
    assert list(adata.obs) == [
        "perturbation",
        "cell_type",
        "batch",
        "guide_positive",
        "library_size",
    ]
    assert adata.obs["guide_positive"].dtype == bool
    assert isinstance(adata.obs["perturbation"].dtype, pd.CategoricalDtype)
    assert set(adata.obs["perturbation"]) - set(adata.var_names) == {"control"}
    assert adata.var["is_target"].sum() == 20
    assert adata.var["base_expression"].sum() == pytest.approx(1e4)


def test_sizes_follow_the_arguments() -> None:
    adata = simulate_screen(**SMALL, n_combinations=3, n_programs=2, n_batches=4, seed=1)
    counts = adata.obs.groupby(["cell_type", "perturbation"], observed=True).size()
    controls = counts.index.get_level_values("perturbation") == "control"
    assert set(counts[controls]) == {30}
    assert set(counts[~controls]) == {20}
    assert len(counts) == 3 * (1 + 4 + 3)
    assert set(adata.obs["batch"]) == {"batch1", "batch2", "batch3", "batch4"}
    simulation = adata.uns["simulation"]
    assert simulation["loadings"].shape == (60, 2)
    assert simulation["activities"].shape == (7, 2)
    assert simulation["modulation"].shape == (3, 2)
    assert truth_of(adata).shape == (24, 60)
    np.testing.assert_array_equal(
        truth_of(adata).obs["n_cells"], np.tile([30] + 7 * [20], 3).astype(int)
    )


def test_batches_are_balanced_within_conditions() -> None:
    adata = simulate_screen(**SMALL, n_batches=3)
    sizes = adata.obs.groupby(["cell_type", "perturbation", "batch"], observed=True).size()
    spread = sizes.groupby(level=[0, 1], observed=True).agg(lambda x: x.max() - x.min())
    assert spread.max() <= 1


@pytest.mark.parametrize("arguments", [{}, {"n_combinations": 3, "dispersion": 0.0}])
def test_same_seed_gives_the_same_bytes(arguments: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    first = simulate_screen(**SMALL, **arguments, seed=3)
    np.random.default_rng(0)
    monkeypatch.setattr(assembly.os, "cpu_count", lambda: 1)
    second = simulate_screen(**SMALL, **arguments, seed=3)
    for part in ("data", "indices", "indptr"):
        assert getattr(first.X, part).tobytes() == getattr(second.X, part).tobytes()
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert truth_of(first).X.tobytes() == truth_of(second).X.tobytes()


def test_seeds_differ_and_global_state_is_untouched() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (simulate_screen(**SMALL, seed=seed) for seed in (0, 1))
    assert (first.X != second.X).nnz > 0
    assert not np.array_equal(truth_of(first).X, truth_of(second).X)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_blocks_do_not_lose_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    from pertscope.datasets import _simulation_counts

    monkeypatch.setattr(_simulation_counts, "BLOCK_ELEMENTS", 60 * 7)
    adata = simulate_screen(**SMALL)
    assert adata.n_obs == 3 * (30 + 80)
    depth = np.asarray(adata.X.sum(axis=1)).ravel() / adata.obs["library_size"].to_numpy()
    assert np.abs(np.log(depth)).max() < 1


def test_means_agree_with_the_truth_within_sampling_error() -> None:
    arguments = {"n_perturbations": 3, "n_genes": 80, "n_combinations": 2, "library_size_sd": 0.2}
    errors = []
    for n in (200, 3200):
        adata = simulate_screen(**arguments, n_cells_per_condition=n, n_controls=n, seed=5)
        true = truth_of(adata).to_df(layer="mean")
        found = cp10k_means(adata)
        # The share of a gene is a mixture over guides and batches: bound its variance from above.
        spread = np.sqrt((true / 0.5 + (0.2 + 0.6) * true**2) / n)
        z = (found - true) / spread
        assert np.abs(z.to_numpy()).max() < 6
        errors.append(np.sqrt(np.mean(((found - true) / true).to_numpy() ** 2)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)  # 1 / sqrt(n), n 16 times as large


def test_truth_is_consistent() -> None:
    adata = simulate_screen(**SMALL, n_combinations=2, covariates=("A", "B"))
    truth = truth_of(adata)
    np.testing.assert_allclose(truth.layers["mean"].sum(axis=1), 1e4, rtol=1e-5)
    np.testing.assert_allclose(truth.X, np.log1p(truth.layers["mean"]), rtol=1e-6)
    for context in ("A", "B"):
        part = truth[truth.obs["cell_type"] == context]
        control = part[part.obs["perturbation"] == "control"]
        assert control.n_obs == 1
        np.testing.assert_allclose(part.X - control.X, part.layers["effect"], atol=1e-5)
        assert not control.layers["log_shift"].any()
    # A failed guide pulls the expected effect towards zero.
    perturbed = truth[truth.obs["perturbation"] != "control"]
    assert (
        np.linalg.norm(perturbed.layers["effect"], axis=1)
        < np.linalg.norm(perturbed.layers["effect_positive"], axis=1)
    ).all()


def test_negative_binomial_variance() -> None:
    adata = simulate_screen(
        **PLAIN, n_perturbations=1, n_genes=20, n_controls=20_000, dispersion=0.5
    )
    x = adata[adata.obs["perturbation"] == "control"].X.toarray()
    mean, variance = x.mean(axis=0), x.var(axis=0)
    np.testing.assert_allclose(variance, mean + 0.5 * mean**2, rtol=0.12)
    poisson = simulate_screen(
        **PLAIN, n_perturbations=1, n_genes=20, n_controls=20_000, dispersion=0.0
    )
    x = poisson[poisson.obs["perturbation"] == "control"].X.toarray()
    np.testing.assert_allclose(x.var(axis=0), x.mean(axis=0), rtol=0.08)


def test_library_sizes_have_the_mean_asked_for() -> None:
    adata = simulate_screen(**(SMALL | {"n_controls": 5000}), mean_library_size=800.0)
    assert adata.obs["library_size"].mean() == pytest.approx(800, rel=0.02)
    assert np.log(adata.obs["library_size"]).std() == pytest.approx(0.3, rel=0.05)
    assert adata.X.sum(axis=1).mean() == pytest.approx(800, rel=0.02)


def test_target_is_knocked_down() -> None:
    adata = simulate_screen(
        **PLAIN, n_perturbations=5, n_genes=200, knockdown=0.9, guide_efficiency=1.0, seed=2
    )
    means = cp10k_means(adata)
    shift = truth_of(adata).to_df(layer="log_shift")
    for target in set(adata.obs["perturbation"]) - {"control"}:
        assert shift.loc[f"A|{target}", target] == pytest.approx(np.log(0.1))
        assert means.loc[f"A|{target}", target] < 0.3 * means.loc["A|control", target]


def test_combinations_without_interaction_add_up() -> None:
    adata = simulate_screen(**SMALL, n_combinations=5, fraction_interacting=0.0)
    simulation = adata.uns["simulation"]
    assert not simulation["combinations"]["interacting"].any()
    assert not simulation["interactions"].to_numpy().any()
    shift = truth_of(adata).to_df(layer="log_shift")
    for label, row in simulation["combinations"].iterrows():
        assert label == f"{row['first']}+{row['second']}"
        activities = simulation["activities"]
        np.testing.assert_allclose(
            activities.loc[label], activities.loc[row["first"]] + activities.loc[row["second"]]
        )
        for context in "ABC":
            parts = [shift.loc[f"{context}|{row[member]}"] for member in ("first", "second")]
            np.testing.assert_allclose(shift.loc[f"{context}|{label}"], sum(parts), atol=1e-5)


def test_interacting_fraction_deviates_in_programme_space() -> None:
    adata = simulate_screen(
        **(SMALL | {"n_perturbations": 6}), n_combinations=10, fraction_interacting=0.4
    )
    simulation = adata.uns["simulation"]
    interacting = simulation["combinations"]["interacting"]
    assert interacting.sum() == 4
    shift = truth_of(adata).to_df(layer="log_shift")
    explained = (
        simulation["loadings"] @ (simulation["modulation"].loc["B"] * simulation["interactions"]).T
    )
    for label, row in simulation["combinations"].iterrows():
        sum_of_singles = shift.loc[f"B|{row['first']}"] + shift.loc[f"B|{row['second']}"]
        rest = shift.loc[f"B|{label}"] - sum_of_singles
        np.testing.assert_allclose(rest, explained[label], atol=1e-5)
        assert (np.abs(rest).max() > 0.05) == row["interacting"]


def test_combinations_can_be_in_the_first_context_only() -> None:
    adata = simulate_screen(**SMALL, n_combinations=3, combinations_in="first")
    doubles = adata.obs["perturbation"].str.contains("+", regex=False).astype(bool)
    assert set(adata.obs.loc[doubles, "cell_type"]) == {"A"}
    assert doubles.sum() == 3 * 20


def test_contexts_share_effects_without_modulation() -> None:
    adata = simulate_screen(**SMALL, covariate_modulation=0.0)
    shift = truth_of(adata).to_df(layer="log_shift").to_numpy().reshape(3, 5, 60)
    np.testing.assert_array_equal(shift[0], shift[1])
    np.testing.assert_array_equal(shift[0], shift[2])
    assert (adata.uns["simulation"]["modulation"] == 1).all(axis=None)
    # Baselines still differ, and so do expected means.
    controls = truth_of(adata).X[::5]
    assert np.abs(controls[0] - controls[1]).max() > 0.1


def test_modulation_scales_programmes() -> None:
    adata = simulate_screen(**SMALL, covariate_modulation=0.5)
    simulation = adata.uns["simulation"]
    shift = truth_of(adata).to_df(layer="log_shift")
    for context in "ABC":
        scaled = simulation["activities"] * simulation["modulation"].loc[context]
        expected = scaled @ simulation["loadings"].T
        for name in expected.index:
            found = shift.loc[f"{context}|{name}"].drop(name)
            np.testing.assert_allclose(found, expected.loc[name].drop(name), atol=1e-5)


def test_crossed_covariates() -> None:
    adata = simulate_screen(
        **SMALL, covariates={"cell_type": ["A", "B"], "treatment": ["none", "IFN", "TNF"]}
    )
    assert adata.obs.groupby(["cell_type", "treatment"], observed=True).ngroups == 6
    assert adata.n_obs == 6 * (30 + 80)
    assert list(adata.uns["screen_keys"]["covariate_keys"]) == ["cell_type", "treatment"]
    # A context is the product of its covariates' factors: predictable from the others.
    log = np.log(adata.uns["simulation"]["modulation"])
    np.testing.assert_allclose(
        log.loc["A|none"] - log.loc["A|IFN"], log.loc["B|none"] - log.loc["B|IFN"], atol=1e-12
    )
    without_covariates = simulate_screen(**SMALL, covariates=("only",))
    assert set(without_covariates.obs["cell_type"]) == {"only"}


@pytest.mark.parametrize("efficiency", [0.0, 0.6, 1.0])
def test_guides_work_as_often_as_asked(efficiency: float) -> None:
    adata = simulate_screen(**(SMALL | {"n_cells_per_condition": 500}), guide_efficiency=efficiency)
    perturbed = adata.obs["perturbation"] != "control"
    assert not adata.obs.loc[~perturbed, "guide_positive"].any()
    assert adata.obs.loc[perturbed, "guide_positive"].mean() == pytest.approx(efficiency, abs=0.02)
    if efficiency == 0:
        assert not truth_of(adata).layers["effect"].any()


def test_cells_with_failed_guides_look_like_controls() -> None:
    adata = simulate_screen(
        **PLAIN,
        n_perturbations=1,
        n_genes=50,
        n_cells_per_condition=4000,
        n_controls=4000,
        guide_efficiency=0.5,
        knockdown=0.9,
    )
    target = adata.var_names[adata.var["is_target"]][0]
    state = adata.obs["perturbation"].astype(str) + adata.obs["guide_positive"].astype(str)
    mean = pd.Series(adata[:, target].X.toarray().ravel()).groupby(state.to_numpy()).mean()
    assert mean[f"{target}False"] == pytest.approx(mean["controlFalse"], rel=0.05)
    assert mean[f"{target}True"] < 0.2 * mean["controlFalse"]


def test_batches_shift_expression() -> None:
    def distance(batch_effect: float) -> float:
        adata = simulate_screen(
            **(PLAIN | {"n_batches": 2, "batch_effect": batch_effect}),
            n_perturbations=1,
            n_genes=50,
            n_controls=4000,
        )
        control = adata[adata.obs["perturbation"] == "control"]
        first, second = (
            np.log(control[control.obs["batch"] == batch].X.mean(axis=0))
            for batch in ("batch1", "batch2")
        )
        return float(np.sqrt(np.mean(np.square(first - second))))

    assert distance(0.0) < 0.05
    assert 0.25 < distance(0.3) < 0.6  # sqrt(2) * 0.3 expected


def test_mean_effect_is_a_baseline_to_beat() -> None:
    truth = truth_of(simulate_screen())
    part = truth[(truth.obs["cell_type"] == "A") & (truth.obs["perturbation"] != "control")]
    effect = part.layers["effect"]
    no_change = np.sqrt(np.mean(effect**2))
    mean_effect = np.sqrt(np.mean((effect - effect.mean(axis=0)) ** 2))
    assert 0.4 * no_change < mean_effect < 0.9 * no_change


def test_effects_transfer_between_contexts() -> None:
    truth = truth_of(simulate_screen())
    a, b = (
        truth[(truth.obs["cell_type"] == c) & (truth.obs["perturbation"] != "control")]
        for c in "AB"
    )
    correlation = np.corrcoef(a.layers["effect"].ravel(), b.layers["effect"].ravel())[0, 1]
    assert 0.6 < correlation < 0.999


# anndata announces its next defaults with every write.
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("n_combinations", [0, 3])
def test_round_trip(suffix: str, n_combinations: int, tmp_path: Path) -> None:
    adata = simulate_screen(**SMALL, n_combinations=n_combinations)
    path = tmp_path / f"screen.{suffix}"
    if suffix == "h5ad":
        adata.write_h5ad(path)
        back = ad.read_h5ad(path)
    else:
        pytest.importorskip("zarr")
        adata.write_zarr(path)
        back = ad.read_zarr(path)
    assert (back.X != adata.X).nnz == 0
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    mine, theirs = adata.uns["simulation"], back.uns["simulation"]
    assert set(mine) == set(theirs)
    for name in ("loadings", "activities", "interactions", "modulation", "combinations"):
        pd.testing.assert_frame_equal(
            theirs[name], mine[name], check_index_type=False, check_column_type=False
        )
    assert theirs["truth"].obs_names.equals(mine["truth"].obs_names)
    for layer in ("effect", "effect_positive", "mean", "log_shift"):
        np.testing.assert_array_equal(theirs["truth"].layers[layer], mine["truth"].layers[layer])
    parameters = {k: v for k, v in theirs["parameters"].items() if k != "covariates"}
    assert parameters == {k: v for k, v in mine["parameters"].items() if k != "covariates"}
    assert list(back.uns["screen_keys"]["covariate_keys"]) == ["cell_type"]
    assert back.uns["screen_keys"]["control"] == "control"


def test_parameters_reproduce_the_screen() -> None:
    first = simulate_screen(**SMALL, n_combinations=2, covariates={"x": ["1", "2"]}, seed=9)
    second = simulate_screen(**first.uns["simulation"]["parameters"])
    assert (first.X != second.X).nnz == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_perturbations": 0}, ValueError, "`n_perturbations` must be at least 1, got 0"),
        ({"n_genes": 10.0}, TypeError, "`n_genes` must be an integer"),
        ({"n_genes": True}, TypeError, "`n_genes` must be an integer"),
        ({"n_controls": -1}, ValueError, "`n_controls` must be at least 1"),
        ({"n_genes": 10}, ValueError, r"`n_perturbations` \(20\) exceeds `n_genes` \(10\)"),
        ({"n_combinations": 191}, ValueError, "only 190 pairs"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": None}, TypeError, "`seed` must be an integer"),
        ({"guide_efficiency": 1.2}, ValueError, "`guide_efficiency` must be between 0 and 1"),
        ({"knockdown": 1.0}, ValueError, "`knockdown` must be below 1"),
        ({"fraction_interacting": "all"}, TypeError, "`fraction_interacting` must be a number"),
        ({"dispersion": float("nan")}, ValueError, "`dispersion` must be finite"),
        ({"effect_size": float("inf")}, ValueError, "`effect_size` must be finite"),
        ({"mean_library_size": 0}, ValueError, "`mean_library_size` must be above 0"),
        ({"combinations_in": "B"}, ValueError, '`combinations_in` must be "all" or "first"'),
        ({"covariates": "AB"}, TypeError, "sequence of values"),
        ({"covariates": {"line": "AB"}}, TypeError, "covariate 'line' needs a sequence"),
        ({"covariates": ()}, ValueError, "has no values"),
        ({"covariates": {}}, ValueError, "`covariates` is empty"),
        ({"covariates": ("A", "A")}, ValueError, "repeats a value"),
        ({"covariates": {"batch": ("A",)}}, ValueError, "writes itself"),
        ({"covariates": {"a/b": ("A",)}}, ValueError, "hold no '/'"),
    ],
)
def test_invalid_arguments(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        simulate_screen(**arguments)
