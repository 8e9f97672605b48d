"""An encoder trained on control cells."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from tests.helpers import fingerprint, refused
from tests.models.response.program_screen import N_PROGRAMS, program_screen

import pertscope as ps
from pertscope.models.embedding.gene_encoder import train_masked
from pertscope.models.interruption import TrainingInterruptedWarning
from pertscope.nn.gene_encoder import GeneEncoder

FAST = {"max_epochs": 1, "n_dims": 4, "accelerator": "cpu"}


def weights(encoder: GeneEncoder) -> list[np.ndarray]:
    return [w.numpy() for w in encoder.state_dict().values()]


@pytest.mark.parametrize("max_genes", [1024, 24])
def test_learns_the_programs(max_genes) -> None:
    adata = program_screen()
    before = fingerprint(adata)
    encoder = ps.tl.train_gene_encoder(
        adata, max_genes=max_genes, max_epochs=20, batch_size=8, accelerator="cpu"
    )
    assert fingerprint(adata) == before
    assert encoder.genes == tuple(adata.var_names)
    assert not encoder.training
    fresh = program_screen(seed=0).X[:200]  # the controls come first
    x = torch.as_tensor(np.asarray(fresh))
    hidden = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    with torch.no_grad():
        assert encoder.loss(x, hidden) < 0.55  # 1 is the error of each gene's mean
        vectors = encoder(x).mean(dim=0).numpy()
    table = ps.tl.aggregate_gene_embeddings([(adata.var_names, encoder(x).detach())])
    np.testing.assert_allclose(table.loc[adata.var_names], vectors, atol=1e-5)
    alike = np.corrcoef(vectors - vectors.mean(axis=0))
    np.fill_diagonal(alike, -1)
    program = np.arange(len(vectors)) % N_PROGRAMS
    assert (program[alike.argmax(axis=1)] == program).mean() > 0.9


def test_same_seed_same_bytes_from_controls_alone() -> None:
    adata = program_screen(n_controls=20, n_knocked=6)
    state = torch.get_rng_state()
    first = ps.tl.train_gene_encoder(adata, **FAST)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    adata.X[(adata.obs["gene"] != "control").to_numpy()] = np.nan
    assert fingerprint(weights(ps.tl.train_gene_encoder(adata, **FAST))) == fingerprint(
        weights(first)
    )
    others = [{"seed": 1}, {"max_cells": 15}, {"max_genes": 9}, {"n_layers": 2}]
    for other in others:
        found = ps.tl.train_gene_encoder(adata, **FAST, **other)
        assert fingerprint(weights(found)) != fingerprint(weights(first))


def test_interrupted_keeps_the_best(monkeypatch) -> None:
    adata = program_screen(n_controls=20, n_knocked=6)
    loss, calls = GeneEncoder.loss, []

    def stopped(module, *task):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return loss(module, *task)

    monkeypatch.setattr(GeneEncoder, "loss", stopped)
    with pytest.warns(TrainingInterruptedWarning, match="best weights so far"):
        encoder = ps.tl.train_gene_encoder(adata, **FAST | {"max_epochs": 50})
    assert all(np.isfinite(w).all() for w in weights(encoder))


def test_defaults_are_those_of_the_models() -> None:
    public = inspect.signature(ps.tl.train_gene_encoder).parameters
    inner = inspect.signature(train_masked).parameters
    for name in inner.keys() & public.keys():
        assert inner[name].default == public[name].default


def test_refusals() -> None:
    adata = program_screen(n_controls=20, n_knocked=6)
    refused_settings = [
        ({"n_dims": 6}, "`n_dims`=6 must be a multiple of `n_heads`=4"),
        ({"n_heads": 0}, "must be a multiple of `n_heads`=0"),
        ({"n_layers": 0}, "`n_layers`=0 must be positive"),
        ({"batch_size": 0, "max_cells": 0}, "`batch_size`=0, `max_cells`=0 must be positive"),
        ({"lr": 0}, "`lr`=0 must be positive"),
        ({"max_epochs": 0}, "`max_epochs`=0"),
    ]
    for settings, match in refused_settings:
        with refused(adata, ValueError, match):
            ps.tl.train_gene_encoder(adata, **settings)
    effects = ps.tl.effects(adata)
    with refused(effects, ValueError, "a screen of effects has no control cells"):
        ps.tl.train_gene_encoder(effects)
    one = adata[19:].copy()
    with refused(one, ValueError, r"there are 1 control cell\(s\)"):
        ps.tl.train_gene_encoder(one)
    adata.X[3, 2] = np.nan
    with refused(adata, ValueError, "control cells hold NaN"):
        ps.tl.train_gene_encoder(adata)
    adata.X = np.random.default_rng(0).poisson(3, adata.shape).astype(np.float32)
    with refused(adata, ValueError, "holds integer counts, `train_gene_encoder` needs"):
        ps.tl.train_gene_encoder(adata)
    del adata.uns["pertscope"]
    with refused(adata, KeyError, "not registered"):
        ps.tl.train_gene_encoder(adata)
