"""A graph of communities, and screens whose perturbations spread over it."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm
from scipy.spatial.distance import pdist, squareform
from tests.helpers import fingerprint

from pertscope.datasets import simulate_graph, simulate_screen
from pertscope.datasets._simulation_diffusion import diffused_activities
from pertscope.datasets._simulation_settings import Settings

SMALL = {"n_genes": 60, "n_perturbations": 50, "n_cells_per_condition": 4, "n_controls": 10}


def adjacency_of(graph: pd.DataFrame, n_genes: int) -> np.ndarray:
    names = [f"g{i}" for i in range(n_genes)]
    a = pd.DataFrame(0.0, index=names, columns=names)
    for one, other in graph.to_numpy():
        a.loc[one, other] = a.loc[other, one] = 1.0
    return a.to_numpy()


def settings_of(**changed) -> Settings:
    drawn = simulate_screen(**SMALL, covariates=("A",)).uns["simulation"]["parameters"]
    return Settings(**(drawn | {"covariates": {"line": ("A",)}} | changed))


def test_degree_and_communities() -> None:
    """As many neighbours as asked for, and as many of them in the community."""
    n, k = 400, 8
    degree, within = [], []
    for seed in range(3):
        graph = simulate_graph(n, n_communities=k, mean_degree=12.0, fraction_within=0.8, seed=seed)
        community = np.random.default_rng(seed).permutation(n) % k
        ends = graph.apply(lambda names: names.str[1:].astype(int)).to_numpy()
        degree.append(2 * len(graph) / n)
        within.append((community[ends[:, 0]] == community[ends[:, 1]]).mean())
        assert not graph.duplicated().any()
        assert (graph["entity1"] < graph["entity2"]).all()
    assert np.mean(degree) == pytest.approx(12.0, abs=0.3)
    assert np.mean(within) == pytest.approx(0.8, abs=0.02)


def test_extremes() -> None:
    apart = simulate_graph(40, n_communities=4, fraction_within=1.0, mean_degree=9.0)
    a = adjacency_of(apart, 40)
    assert (a.sum(axis=0) == 9).all()  # every pair of a community of ten
    one = simulate_graph(100, n_communities=1, mean_degree=5.0, fraction_within=0.3)
    assert 2 * len(one) / 100 == pytest.approx(5.0, abs=1.0)
    assert simulate_graph(10, n_communities=2, mean_degree=1e-9).shape == (0, 2)


def test_same_seed_same_graph() -> None:
    pd.testing.assert_frame_equal(simulate_graph(120, seed=1), simulate_graph(120, seed=1))
    assert not simulate_graph(120, seed=1).equals(simulate_graph(120, seed=2))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_communities": 0}, "`n_communities`=0 must be at least 1 and at most half of the 60"),
        ({"n_communities": 31}, "at most half"),
        ({"mean_degree": 0.0}, "must be above 0"),
        ({"mean_degree": float("nan")}, "must be above 0"),
        ({"fraction_within": 1.1}, "between 0 and 1"),
        ({"mean_degree": 20.0}, "more than communities of 6 genes have room for"),
    ],
)
def test_graph_refusals(arguments, match) -> None:
    with pytest.raises(ValueError, match=match):
        simulate_graph(60, **arguments)


@pytest.mark.parametrize("arguments", [{"n_genes": 60.0}, {"n_communities": 2.5}])
def test_numbers_of_things_are_whole(arguments) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(TypeError, match=f"`{name}`={value} must be a whole number"):
        simulate_graph(**arguments)


@pytest.mark.parametrize("time", [0.0, 0.7, 5.0])
def test_activities_are_heat_on_the_graph(time) -> None:
    graph = simulate_graph(60, n_communities=4, mean_degree=6.0, seed=3)
    loose = graph[~(graph == "g7").any(axis=1)]  # g7 has no edge
    settings = settings_of(diffusion_time=time, effect_size=0.4, shared_effect=2.0)
    got = diffused_activities(np.random.default_rng(5), settings, loose)
    alone = np.random.default_rng(5).normal(size=got.shape)
    a = adjacency_of(loose, 60)
    linked = a.any(axis=0)
    assert linked.sum() == 59
    walk = a[np.ix_(linked, linked)]
    walk /= walk.sum(axis=1, keepdims=True)
    heat = expm(-time * (np.eye(59) - walk)) @ alone[linked]
    want = 0.4 * alone
    want[linked] = 0.4 * (heat - heat.mean(axis=0)) / heat.std(axis=0)
    want[:, 0] = 0.8
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


def test_neighbours_do_alike() -> None:
    """True effects are alike along edges, and no more than others are without diffusion."""
    graph = simulate_graph(60, n_communities=4, mean_degree=6.0, seed=0)
    linked = adjacency_of(graph, 60) > 0
    ratio = {}
    for time in (0.0, 5.0):
        adata = simulate_screen(**SMALL, graph=graph, diffusion_time=time, covariates=("A",))
        a = adata.uns["simulation"]["activities"]
        distance = squareform(pdist(a.to_numpy()))
        genes = a.index.str[1:].astype(int)
        edges = linked[np.ix_(genes, genes)]
        others = ~edges & ~np.eye(len(a), dtype=bool)
        ratio[time] = distance[edges].mean() / distance[others].mean()
    assert ratio[5.0] < 0.6
    assert 0.9 < ratio[0.0] < 1.1


def test_what_a_graph_changes() -> None:
    """Of a seed, the graph changes activities alone; the table is kept, and survives a file."""
    graph = simulate_graph(60, n_communities=4, mean_degree=6.0, seed=0)
    swapped = graph.rename(columns={"entity1": "entity2", "entity2": "entity1"}).sample(frac=1.0)
    plain, adata, again = (
        simulate_screen(**SMALL, graph=g, n_combinations=3, seed=2) for g in (None, graph, swapped)
    )
    assert fingerprint(adata.X) == fingerprint(again.X)
    without, found = plain.uns["simulation"], adata.uns["simulation"]
    assert "graph" not in without
    pd.testing.assert_frame_equal(found["graph"], graph)
    for name in ("loadings", "modulation"):
        pd.testing.assert_frame_equal(found[name], without[name])
    assert adata.var.equals(plain.var)
    assert not found["activities"].equals(without["activities"])
    assert (adata.X != simulate_screen(**found["parameters"], graph=found["graph"]).X).nnz == 0


def test_graph_survives_a_file(tmp_path) -> None:
    graph = simulate_graph(60, seed=0, mean_degree=4.0)
    adata = simulate_screen(**SMALL, graph=graph)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    back = ad.read_h5ad(tmp_path / "screen.h5ad").uns["simulation"]["graph"]
    assert back.astype(str).to_numpy().tolist() == graph.to_numpy().tolist()


def test_screen_refusals() -> None:
    graph = simulate_graph(60, mean_degree=4.0)
    strange = pd.concat([graph, pd.DataFrame({"entity1": ["TP53"], "entity2": ["g60"]})])
    with pytest.raises(ValueError, match=r"`graph` names 'TP53', 'g60': .* 'g0' to 'g59'"):
        simulate_screen(**SMALL, graph=strange)
    with pytest.raises(KeyError, match="`graph` has no column 'entity2'"):
        simulate_screen(**SMALL, graph=graph[["entity1"]])
    with pytest.raises(ValueError, match="all genes of the graph do the same"):
        simulate_screen(**SMALL, graph=graph, diffusion_time=1e4)
    with pytest.raises(ValueError, match="`diffusion_time` must be finite"):
        simulate_screen(**SMALL, diffusion_time=-1.0)
