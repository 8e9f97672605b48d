"""Out-of-fold labels, and what they are held against."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers import fingerprint, refused
from tests.models.response.known_effects import effect_screen, label_screen, split

import pertscope as ps

PENALTIES = [0.01, 0.1, 1.0]


def kept(adata) -> dict[str, np.ndarray]:
    return {k: p.X for k, p in adata.uns["pertscope"]["predictions"].items()}


def test_one_fit_per_fold() -> None:
    adata = label_screen(40, contexts=("x", "y"))
    folds = adata.copy()
    ps.tl.cross_validate(adata, "logistic", "true", n_folds=3, seed=2, penalties=PENALTIES)
    for fold in range(3):
        split(folds, n_folds=3, fold=fold, seed=2)
        here = folds.obs_names[folds.obs["split"] == "test"]
        model = ps.models.EmbeddingRegression(
            folds,
            perturbation_embedding="true",
            regressor="logistic",
            seed=2,
            penalties=PENALTIES,
        )
        model.train()
        got = ps.get.prediction(adata, "logistic_true")[here].X
        np.testing.assert_array_equal(got, model.predict()[here].X)


def test_bounds() -> None:
    adata = label_screen(100, n_genes=20, contexts=("x", "y"), threshold=0.7)
    bounds = ["train_mode", "train_draw", "no_change", "random", "idealised"]
    ps.tl.cross_validate(adata, "logistic", "true", bounds=bounds, penalties=PENALTIES)
    names = [*bounds[:3], "logistic_random", "logistic_idealised"]
    assert list(kept(adata)) == ["logistic_true", *names]
    for name, labels in kept(adata).items():
        assert set(np.unique(labels)) <= {-1, 0, 1}, name
    again = label_screen(100, n_genes=20, contexts=("x", "y"), threshold=0.7)
    ps.tl.cross_validate(again, "logistic", bounds=bounds[:4], penalties=PENALTIES)
    for name in names[:4]:
        assert fingerprint(kept(again)[name]) == fingerprint(kept(adata)[name])
    ps.ev.label_metrics(adata, split=None)
    scores = ps.get.scores(adata)["mean"]["macro_f1_per_gene_label"]
    floor = scores[["train_mode", "train_draw", "no_change"]].max()
    assert scores["logistic_idealised"] > scores["logistic_true"] - 0.05
    assert scores["logistic_true"] > floor + 0.2
    assert scores["logistic_random"] < floor + 0.05


def test_usual_and_drawn_labels() -> None:
    """The most frequent label of the other folds; and labels as frequent as there."""
    adata = label_screen(200, contexts=("x", "y"), threshold=0.4)
    ps.tl.cross_validate(adata, bounds=["train_mode", "train_draw"])
    fold, line = adata.obs["fold"], adata.obs["line"]
    draws = ps.get.prediction(adata, "train_draw")
    n_ties = 0
    for context in "xy":
        for f in fold.cat.categories:
            y = np.asarray(adata[(line == context) & (fold != f) & fold.notna()].X)
            here = adata.obs_names[(line == context) & (fold == f)]
            counts = np.stack([(y == label).sum(axis=0) for label in (-1, 0, 1)])
            alone = (counts == counts.max(axis=0)).sum(axis=0) == 1
            n_ties += (~alone).sum()
            got = ps.get.prediction(adata, "train_mode")[here].X
            want = np.tile(counts.argmax(axis=0) - 1, (len(here), 1))
            np.testing.assert_array_equal(got[:, alone], want[:, alone])
            never = counts == 0
            for label, row in zip((-1, 0, 1), never, strict=True):
                assert not (draws[here].X[:, row] == label).any()
    assert n_ties < 10
    true, drawn = np.asarray(adata[draws.obs_names].X), np.asarray(draws.X)
    shares = np.stack([np.mean(true == label, axis=0) for label in (-1, 0, 1)])
    got = [np.mean(drawn == label, axis=0) for label in (-1, 0, 1)]
    np.testing.assert_allclose(got, shares, atol=0.12)
    assert np.mean(drawn == true) == pytest.approx((shares**2).sum(axis=0).mean(), abs=0.03)


def test_the_train_mean_is_a_mean_of_labels_too() -> None:
    """So that a regression is held against a mean, which labels are not judged by."""
    adata = label_screen(40, threshold=0.7)
    ps.tl.cross_validate(adata, "ridge", bounds=["train_mean", "train_mode", "random"])
    fold, means = adata.obs["fold"], ps.get.prediction(adata, "train_mean")
    for f in fold.cat.categories:
        want = np.asarray(adata[(fold != f) & fold.notna()].X, float).mean(axis=0)
        here = adata.obs_names[fold == f]
        np.testing.assert_allclose(means[here].X, np.tile(want, (len(here), 1)), atol=1e-6)
    ps.ev.error_metrics(adata, metrics=["l2"], statistics=["effect"], split=None)
    error = ps.get.scores(adata)["mean"]["l2_effect"]
    assert error["train_mean"] < error["train_mode"]
    assert error["ridge_random"] > 0.98 * error["train_mean"]
    with refused(adata, ValueError, "prediction 'train_mean' must be labels"):
        ps.ev.label_metrics(adata, split=None)


def test_the_gap_of_labels_is_to_the_mode(capsys) -> None:
    adata = label_screen(60, threshold=0.7)
    ps.tl.cross_validate(adata, "logistic", "true", bounds="train_mode", penalties=PENALTIES)
    ps.ev.label_metrics(adata, metrics=["macro_f1"], split=None)
    ps.ev.gap_closed(adata, metric="macro_f1_label", floor="train_mode", ceiling=None)
    assert "1 of 1 prediction(s) beat 'train_mode'" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["train_mode", "train_draw", "logistic"])
def test_effects_are_no_labels(what) -> None:
    adata = effect_screen(20)
    with refused(adata, ValueError, f"'{what}' .*must be labels, -1, 0 or 1.*`ps.tl.deg_labels"):
        if what == "logistic":
            ps.tl.cross_validate(adata, "logistic", "true")
        else:
            ps.tl.cross_validate(adata, bounds=[what])
