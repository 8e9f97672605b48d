"""Are p-values of representations uniform where there is nothing, and random labels at chance?

Screens without signal are drawn anew, many perturbations each: the share of p-values at or below
0.05 with its standard error between screens, and the distance of all p-values from the uniform
distribution (Kolmogorov and Smirnov). Then the column ``random_labels`` of
:func:`pertscope.ev.evaluate_representations` beside what chance says. Run with ``python
benchmarks/calibration_representations.py``; some minutes.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import stats

import pertscope as ps
from pertscope._core.neighbors import nearest
from pertscope.ev._lisi import neighbor_weights

if TYPE_CHECKING:
    from collections.abc import Callable

N_SCREENS, N_DIMENSIONS, N_PERTURBATIONS, N_PLATES = 200, 50, 20, 4
HELD_OUT = "TVN on held-out controls"
NULLS: tuple[dict[str, str], ...] = ({}, {"null": "independent"}, {"compat": "copairs"})


def screen(
    seed: int,
    *,
    n_dimensions: int = N_DIMENSIONS,
    n_perturbations: int = N_PERTURBATIONS,
    n_plates: int = N_PLATES,
    n_per_plate: int = 1,
    n_controls: int = 16,
    skewed: bool = False,
) -> ad.AnnData:
    """Perturbations and controls of every plate are the same Gaussian noise, in ``R``."""
    rng = np.random.default_rng(seed)
    of_plate = ["control"] * n_controls
    of_plate += [f"p{i:03d}" for i in range(n_perturbations) for _ in range(n_per_plate)]
    plate = np.repeat(np.arange(n_plates), len(of_plate))
    obs = pd.DataFrame({"perturbation": of_plate * n_plates, "plate": plate.astype(str)})
    obs.index = [f"w{i}" for i in range(len(obs))]
    x = rng.normal(size=(len(obs), n_dimensions))
    if skewed:
        x /= np.arange(1, n_dimensions + 1)
    adata = ad.AnnData(rng.normal(size=(len(obs), 10)).astype(np.float32), obs=obs)
    adata.obsm["R"] = x
    ps.pp.register(adata, batch_key="plate")
    return adata


def report(name: str, screens: list[np.ndarray]) -> None:
    """One line for p-values of many screens."""
    tested = [p[~np.isnan(p)] for p in screens]
    below = np.array([(p <= 0.05).mean() for p in tested])
    every = np.concatenate(tested)
    print(
        f"  {name:58s} p <= 0.05: {below.mean():.3f} +- {below.std(ddof=1) / len(below) ** 0.5:.3f}"
        f", KS {stats.kstest(every, 'uniform').statistic:.3f} of {len(every)}",
        flush=True,
    )


def activity() -> None:
    """Phenotypic activity: each null, dimensions, and post-processing on the same controls."""
    one_plate = {"n_plates": 1, "n_per_plate": 4}
    cases: list[tuple[str, dict[str, Any], str | None, tuple[dict[str, str], ...]]] = [
        ("50 dimensions", {}, None, NULLS),
        ("all on one plate", one_plate, None, NULLS[:1]),
        ("2 dimensions", {"n_dimensions": 2}, None, NULLS[:1]),
        ("5 dimensions", {"n_dimensions": 5}, None, NULLS[:1]),
        ("50 dimensions of falling size", {"skewed": True}, None, NULLS[:1]),
        ("euclidean", {}, None, ({"metric": "euclidean"},)),
        ("centred by plate", {}, "center", NULLS[:1]),
        ("centred, all on one plate", one_plate, "center", NULLS[:1]),
        ("centred, one plate, 64 controls", one_plate | {"n_controls": 64}, "center", NULLS[:1]),
        ("TVN, 16 controls", {}, "tvn", NULLS[:1]),
        ("TVN, 64 controls", {"n_controls": 64}, "tvn", NULLS[:1]),
        ("TVN on half of 64 controls, others ranked", {"n_controls": 64}, HELD_OUT, NULLS[:1]),
        ("sphered, 16 controls", {}, "sphere", NULLS[:1]),
        ("sphered, 64 controls", {"n_controls": 64}, "sphere", NULLS[:1]),
    ]
    for name, made, processed, nulls in cases:
        found: dict[str, list[np.ndarray]] = {}
        for seed in range(N_SCREENS):
            adata = screen(seed, **made)
            rep = "R" if processed is None else "Y"
            if processed == HELD_OUT:
                adata = processed_apart(adata)
            elif processed:
                getattr(ps.pp, processed)(adata, "R", key_added="Y")
            for null in nulls:
                ps.ev.phenotypic_activity(adata, rep, n_null=5_000, seed=seed, **null)
                p = adata.uns["phenotypic_activity"]["p_value"].to_numpy()
                found.setdefault(", ".join([name, *null.values()]), []).append(p)
        for label, screens in found.items():
            report(label, screens)


def processed_apart(adata: ad.AnnData) -> ad.AnnData:
    """TVN fitted on half of the controls; the other half is left to be ranked."""
    is_control = (adata.obs["perturbation"] == "control").to_numpy()
    fitted = is_control & (np.arange(adata.n_obs) % 2 == 0)
    kept = adata[~fitted].copy()
    ps.pp.tvn(kept, "R", fit_on=adata[fitted].copy(), key_added="Y")
    return kept


def labels() -> None:
    """Phenotypic consistency of labels that mean nothing; a perturbation has one or two."""
    for n_dimensions in (5, N_DIMENSIONS):
        found: dict[str, list[np.ndarray]] = {}
        for seed in range(N_SCREENS):
            adata = screen(seed, n_dimensions=n_dimensions, n_perturbations=40)
            drawn = np.random.default_rng(seed).integers(0, 8, (40, 2))
            names = {f"p{i:03d}": f"t{a}|t{b}" for i, (a, b) in enumerate(drawn)}
            adata.obs["target"] = adata.obs["perturbation"].astype(str).map(names)
            for null in NULLS:
                options = {"activity_key": None, "n_null": 2_000, "seed": seed, **null}
                ps.ev.phenotypic_consistency(adata, "target", "R", **options)
                p = adata.uns["phenotypic_consistency"]["p_value"].to_numpy()
                label = ", ".join([f"{n_dimensions} dimensions", *null.values()])
                found.setdefault(label, []).append(p)
        for label, screens in found.items():
            report(label, screens)


def consistency() -> None:
    """Perturbation consistency: label swaps, and null perturbations of the same and other sizes."""
    null = [f"p{i:03d}" for i in range(60)]
    cases: list[tuple[str, dict[str, Any], dict[str, Any], str | None, Callable[..., Any]]] = [
        ("swaps", {"n_per_plate": 3}, {}, None, lambda a: a),
        ("swaps, centred by plate", {"n_per_plate": 3}, {}, "center", lambda a: a),
        ("swaps, TVN", {"n_per_plate": 3, "n_controls": 64}, {}, "tvn", lambda a: a),
        ("60 null perturbations", {}, {"null": null}, None, lambda a: a),
        ("of three times as many cells", {}, {"null": null}, None, fewer_tested),
        ("the same, no diagonal", {}, {"null": null, "diagonal": False}, None, fewer_tested),
        ("the same, not matched", {}, {"null": null, "match_sizes": False}, None, fewer_tested),
    ]
    for name, made, options, processed, change in cases:
        found = []
        for seed in range(N_SCREENS):
            many = {"n_per_plate": 3, "n_perturbations": 80} if "null" in options else {}
            adata = change(screen(seed, **(many | made)))
            if processed:
                getattr(ps.pp, processed)(adata, "R", key_added="R")
            keys = {"n_permutations": 199, "min_null": 60, "seed": seed} | options
            ps.ev.consistency(adata, "R", **keys)
            found.append(adata.uns["consistency"]["p_value"].to_numpy())
        report(name, found)


def fewer_tested(adata: ad.AnnData) -> ad.AnnData:
    """A third of the cells of the perturbations that are tested."""
    number = adata.obs["perturbation"].astype(str).str.removeprefix("p").replace("control", "-1")
    kept = (number.astype(int) < 60) | (np.arange(adata.n_obs) % 3 == 0)
    return adata[kept.to_numpy()].copy()


def chance(adata: ad.AnnData, n_batches: int, n_labels: int) -> dict[str, float]:
    """What each metric is where labels are random and all equally frequent."""
    weights = neighbor_weights(nearest(adata.obsm["R"], 90).distances, perplexity=30)
    own = float(np.median((weights**2).sum(axis=1)))
    # E sum_b p_b^2 = own + (1 - own) / B, of B batches of the same size
    lisi = 1 / (own + (1 - own) / n_batches)
    return {
        "ilisi": (lisi - 1) / (n_batches - 1),
        "top1_accuracy": 1 / n_labels,
        "top5_accuracy": 5 / n_labels,
        "consistency": 0.05,
        "table 1": 0.10,
        "spearman": 0.0,
        "structural_integrity": 0.5,
    }


def random_labels(n_screens: int = 10) -> None:
    """All levels on a screen with signal, whose vectors are given to cells at random."""
    n_labels, n_batches = 50, 4
    rows = []
    for seed in range(n_screens):
        adata = screen(seed, n_perturbations=n_labels, n_per_plate=8, n_controls=64)
        rng = np.random.default_rng(seed)
        shift = 2 * rng.normal(size=(n_labels + 1, N_DIMENSIONS))
        codes = adata.obs["perturbation"].astype("category").cat.codes.to_numpy()
        adata.obsm["R"] = adata.obsm["R"] + shift[codes]
        adata.X = (adata.obsm["R"] @ rng.normal(size=(N_DIMENSIONS, 10))).astype(np.float32)
        names = np.array([f"p{i:03d}" for i in range(n_labels)])
        pairs = names[rng.integers(0, n_labels, (400, 2))]
        known = pd.DataFrame(pairs, columns=["entity1", "entity2"])
        options = {
            "linear_probe": {"n_epochs": 40, "batch_size": 256},
            "reconstruction": {"n_epochs": 10, "batch_size": 256, "learning_rate": 1e-3},
            "consistency": {"n_permutations": 199},
        }
        ps.ev.evaluate_representations(
            adata,
            ["R"],
            postprocess=["raw"],
            databases=[known],
            options=options,
            n_seeds=2,
            seed=seed,
        )
        table = adata.uns["evaluate_representations_table"].set_index(["level", "metric"])
        want = chance(adata, n_batches, n_labels)
        table["chance"] = [want[metric] for _, metric in table.index]
        rows.append(table[["random_labels", "R", "chance"]].astype(float))
    by_metric = pd.concat(rows).groupby(level=[0, 1], sort=False)
    mean, error = by_metric.mean(), by_metric.std() / n_screens**0.5
    for (level, metric), row in mean.iterrows():
        print(
            f"  {level} {metric:22s} random labels {row['random_labels']:.4f} "
            f"+- {error.loc[(level, metric), 'random_labels']:.4f}, chance {row['chance']:.4f}, "
            f"true labels {row['R']:.3f}",
            flush=True,
        )


def main() -> None:
    """Run all four."""
    warnings.filterwarnings("ignore", ".*have no two profiles", UserWarning)
    for title, run in (
        (f"(a) phenotypic activity, {N_SCREENS} screens of {N_PERTURBATIONS}", activity),
        (f"(b) phenotypic consistency, {N_SCREENS} screens of 8 labels", labels),
        (f"(c) consistency, {N_SCREENS} screens of {N_PERTURBATIONS}", consistency),
        ("(d) random labels, 10 screens of 50 perturbations on 4 plates", random_labels),
    ):
        start = time.perf_counter()
        print(title, flush=True)
        run()
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
