"""Simulate a perturbation screen of which everything is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pertscope.datasets._relationships import unique_pairs
from pertscope.datasets._simulation_assembly import assemble
from pertscope.datasets._simulation_settings import Settings, read_covariates
from pertscope.datasets._simulation_truth import draw_truth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData


def simulate_screen(
    *,
    n_perturbations: int = 20,
    n_combinations: int = 0,
    n_genes: int = 500,
    n_cells_per_condition: int = 100,
    n_controls: int = 300,
    covariates: Sequence[str] | Mapping[str, Sequence[str]] = ("A", "B", "C"),
    n_programs: int = 10,
    effect_size: float = 0.5,
    shared_effect: float = 1.0,
    knockdown: float = 0.8,
    fraction_interacting: float = 0.3,
    combinations_in: Literal["all", "first"] = "all",
    covariate_effect: float = 0.5,
    covariate_modulation: float = 0.3,
    graph: pd.DataFrame | None = None,
    diffusion_time: float = 5.0,
    n_batches: int = 2,
    batch_effect: float = 0.1,
    guide_efficiency: float = 0.8,
    dispersion: float = 0.2,
    mean_library_size: float = 5000.0,
    library_size_sd: float = 0.3,
    seed: int = 0,
) -> AnnData:
    r"""Simulate a perturbation screen of counts whose true effects are known.

    A cell of context :math:`c` (a combination of covariate values) and batch :math:`b` has

    .. math::
        x_g \sim \mathrm{NB}(\ell \, \pi_g,\ \phi), \qquad
        \pi = \mathrm{softmax}(\beta_c + \tau_b + z \, \delta), \qquad
        \delta = L \, (m_c \odot a)

    with log-normal library size :math:`\ell`, variance :math:`\mu + \phi \mu^2`, baseline
    :math:`\beta_c`, batch shift :math:`\tau_b`, sparse gene programmes :math:`L` (genes x
    programmes), activities :math:`a` of the perturbation and factors :math:`m_c` of the context.
    :math:`z` is 1 with probability `guide_efficiency`, else the cell looks like a control; the
    guides of a combination work together or not at all. At its own target a perturbation has
    :math:`\delta = \log(1 - \text{knockdown})`. A combination adds the :math:`\delta` of its two
    members and, if it interacts, an interaction in programme space.

    Programmes are shared between perturbations, and the factors :math:`m_c` between all
    perturbations of a context: held-out conditions can be predicted. Programme 0 answers to every
    perturbation, so that the mean effect is a baseline to beat.

    Parameters
    ----------
    n_perturbations
        Single perturbations, each with another target gene of the screen.
    n_combinations
        Pairs of these perturbations, labelled ``"g3+g17"``.
    n_genes
        Genes.
    n_cells_per_condition
        Cells per perturbation and context.
    n_controls
        Control cells per context.
    covariates
        Values of the covariate ``cell_type``, or a mapping from columns to values, which are
        crossed: ``{"cell_type": ["A", "B"], "treatment": ["none", "IFN"]}`` has four contexts.
    n_programs
        Gene programmes; each moves a tenth of the genes.
    effect_size
        Typical activity of a programme, in natural log.
    shared_effect
        Activity of the programme shared by all perturbations, in multiples of `effect_size`.
    knockdown
        Share of the target's transcripts that a working guide removes.
    fraction_interacting
        Share of the combinations that are not additive.
    combinations_in
        ``"all"`` contexts have combinations, or only the ``"first"``.
    covariate_effect
        Standard deviation of a covariate value's baseline shift, in natural log; it moves 30 %
        of the genes.
    covariate_modulation
        Standard deviation of the log factor by which a covariate value scales a programme;
        0 gives every context the same :math:`\delta`.
    graph
        Pairs of genes, columns ``entity1``, ``entity2``, such as
        :func:`pertscope.datasets.simulate_graph` draws. Then :math:`a` is a smooth function of the
        graph, so that unseen perturbations can be predicted by their neighbours: what genes would
        do alone, :math:`e \sim N(0, 1)`, spreads over it, :math:`a = \exp(-t (I - D^{-1} A)) e`,
        with adjacency :math:`A` and degrees :math:`D`, and is scaled over genes to mean 0 and
        standard deviation `effect_size`. Programme 0 answers alike to all.
    diffusion_time
        Time :math:`t` on that graph; at 0 neighbours have nothing in common.
    n_batches
        Batches, balanced within each condition.
    batch_effect
        Standard deviation of a batch's shift of a gene, in natural log.
    guide_efficiency
        Probability that a perturbed cell's guide works.
    dispersion
        :math:`\phi` of the negative binomial; 0 is Poisson.
    mean_library_size
        Mean expected transcripts of a cell.
    library_size_sd
        Standard deviation of the log library size.
    seed
        The same seed gives the same bytes.

    Returns
    -------
    An AnnData, not yet registered: ``ps.pp.register(adata, **adata.uns["screen_keys"])``, or
    spell it out, ``ps.pp.register(adata, covariate_keys=["cell_type"], batch_key="batch")``.

    ``X``
        float32 CSR of whole counts, cells x genes; cells of a condition lie together.
    ``obs``
        ``perturbation`` (control label ``"control"``), the covariates and ``batch``
        (categorical), ``guide_positive`` (bool; ``False`` for controls), ``library_size``
        (float32, the expected one).
    ``var``
        ``base_expression`` (float64, expected CP10k without covariate and batch shifts) and
        ``is_target`` (bool).
    ``uns["simulation"]``
        ``"truth"``, an AnnData of conditions x genes in the form of a prediction: ``X`` is
        :math:`\log(1 + y)` of the expected CP10k :math:`y`, which is ``layers["mean"]``;
        ``layers["effect"]`` is ``X`` minus the ``X`` of the context's control: *the true effect*.
        All three are averaged over guide efficiency and, with equal weights, over batches:
        :math:`y = 10^4 \, \mathrm{mean}_b[q \pi^{z=1} + (1 - q) \pi^{z=0}]`.
        ``layers["effect_positive"]`` is the effect if every guide worked and
        ``layers["log_shift"]`` is :math:`\delta`; ``obs`` names the conditions and counts cells.
        ``"loadings"`` (genes x programmes), ``"activities"`` (perturbations and combinations x
        programmes, interactions included), ``"interactions"`` (combinations x programmes, zero
        where additive), ``"modulation"`` (contexts x programmes), ``"combinations"`` (their two
        members and ``interacting``), each a DataFrame; ``"graph"``, the pairs, if given; and
        ``"parameters"``, the other arguments.
        A single perturbation is named after the gene that it targets.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or lies outside its range, or the graph names other genes.

    Notes
    -----
    Means of ``1e4 * X / library_size`` over cells are unbiased for ``layers["mean"]``. The mean of
    :math:`\log(1 + \mathrm{CP10k})` lies below :math:`\log(1 + y)`, because the logarithm is
    concave, and the more so the shallower the cells: effects observed on the log scale are close
    to the true effect, but not unbiased for it.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=3, n_genes=50, n_controls=100)
    >>> adata.shape
    (1200, 50)
    >>> adata.obs["perturbation"].nunique()
    4
    >>> truth = adata.uns["simulation"]["truth"]
    >>> truth.to_df(layer="effect").shape
    (12, 50)
    """
    settings = Settings(
        n_perturbations=n_perturbations,
        n_combinations=n_combinations,
        n_genes=n_genes,
        n_cells_per_condition=n_cells_per_condition,
        n_controls=n_controls,
        covariates=read_covariates(covariates),
        n_programs=n_programs,
        effect_size=effect_size,
        shared_effect=shared_effect,
        knockdown=knockdown,
        fraction_interacting=fraction_interacting,
        combinations_in=combinations_in,
        covariate_effect=covariate_effect,
        covariate_modulation=covariate_modulation,
        diffusion_time=diffusion_time,
        n_batches=n_batches,
        batch_effect=batch_effect,
        guide_efficiency=guide_efficiency,
        dispersion=dispersion,
        mean_library_size=mean_library_size,
        library_size_sd=library_size_sd,
        seed=seed,
    )
    pairs = None if graph is None else unique_pairs(graph, "`graph`")
    truth_stream, cell_stream = np.random.SeedSequence(settings.seed).spawn(2)
    return assemble(settings, draw_truth(settings, truth_stream, pairs), cell_stream, pairs)
