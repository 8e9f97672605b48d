"""Perturbations open a few latent factors and shift them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
import torch
from tqdm.auto import tqdm

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN
from pertscope._core.splits import split_of
from pertscope.models.autoencoder import AutoencoderModel
from pertscope.models.isolation import own_random_state
from pertscope.models.response.sams_vae.module import SAMSVAEModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData


@final
class SAMSVAE(AutoencoderModel):
    r"""Variational autoencoder with sparse additive shifts (SAMS-VAE*).

    The state of cell :math:`i` is its basal state, plus a shift for every covariate value, plus a
    masked effect for every perturbation :math:`t` that was applied to it:

    .. math::
        z_i = z_i^{basal} + \sum_c a_c + \sum_{t \in T_i} m_t \odot e_t, \qquad
        x_i \sim N(f_{dec}(z_i), s^2)

    with priors :math:`z_i^{basal}, e_t \sim N(0, 1)` and :math:`m_t \sim \mathrm{Bernoulli}(\pi)`
    in each latent dimension, and posteriors
    :math:`z_i^{basal} \sim N(f_{enc}(x_i, c_i))`,
    :math:`e_t \sim N(\mu_t, \sigma_t)` and :math:`m_t \sim \mathrm{Bernoulli}(\phi_t)`. A mask is
    drawn relaxed (temperature 0.5) and rounded; gradients pass through the rounding. Predictions,
    validation and embeddings draw nothing: they take :math:`\mu_t` where :math:`\phi_t` passes one
    half, and the mean basal state.

    The loss of cell :math:`i` over G genes, with :math:`n_t` training cells of perturbation t, is

    .. math::
        \frac{1}{G} \Big[ \lVert x_i - f_{dec}(z_i) \rVert^2 + 2 w \Big(
        \mathrm{KL}(z_i^{basal}) + \sum_{t \in T_i} \frac{1}{n_t}
        \big( \mathrm{KL}(e_t) + \mathrm{KL}(m_t) \big) \Big) \Big]

    Masks and effects are shared by all cells. Each of its :math:`n_t` cells carries an equal share
    of a perturbation's divergence, so that a pass over the data counts it once. With
    :math:`w = s^2` the sum over a pass is :math:`2 s^2 / G` times the negative ELBO: `kl_weight` is
    the variance within a gene that the model takes for noise.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    sparse
        Give every perturbation a mask.
    global_latents
        Give every effect a prior and a posterior; otherwise it is a plain embedding. With `sparse`
        and `global_latents` both false the model is SAMS-VAE* (S), the better one in PerturBench.
    mean_field
        Encode the basal state from the cell alone. Otherwise the encoder sees the applied effects
        as well, as in the original: masks recover true factors better, held-out effects were
        predicted worse, and without its perturbations a perturbed cell passes for a control.
    mask_prior_probability
        :math:`\pi`, the expected share of latent dimensions that a perturbation moves.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers in encoder and decoder.
    dropout
        Share of hidden units dropped in training.
    kl_weight
        Weight of the divergences: 1 is the ELBO with unit variance. Less lets the latent space
        hold more; where effects are faint, 1 may shut them off.
    likelihood
        ``"mse"``; ``"gaussian"``, which learns the variance of each gene in each cell; or, where
        the registered layer holds counts, ``"nb"`` and ``"zinb"``: (zero-inflated) negative
        binomial. Predictions are means on the registered scale; of counts, in cells with as many
        counts as the controls.
    use_rep
        Key of ``.obsm`` with what the encoder sees of a cell in place of its expression, such as
        the embedding of a foundation model.
    seed
        Seed of the weights, of the order of cells, of dropout, of the matched controls and of the
        latent draws.

    Raises
    ------
    ValueError
        If `mask_prior_probability` is not between 0 and 1, or `kl_weight` is negative.

    References
    ----------
    Bereket and Karaletsos, NeurIPS (2023); Wu et al., PerturBench (2024), appendix D.5.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.SAMSVAE.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.SAMSVAE(adata, n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=1)
    >>> model.get_perturbation_embeddings().shape
    (6, 8)
    """

    module: SAMSVAEModule
    name: ClassVar[str] = "sams_vae"
    affine: ClassVar[bool] = False

    def __init__(
        self,
        adata: AnnData,
        *,
        sparse: bool = True,
        global_latents: bool = True,
        mean_field: bool = True,
        mask_prior_probability: float = 0.01,
        n_hidden: int = 256,
        n_latent: int = 64,
        n_layers: int = 1,
        dropout: float = 0.1,
        kl_weight: float = 1.0,
        likelihood: str = "mse",
        use_rep: str | None = None,
        seed: int = 0,
    ) -> None:
        if not 0 < mask_prior_probability < 1:
            raise ValueError(
                f"`mask_prior_probability`={mask_prior_probability} must lie between 0 and 1: "
                "0.01 expects one latent dimension in a hundred to move."
            )
        if not kl_weight >= 0:
            raise ValueError(f"`kl_weight`={kl_weight} must not be negative.")
        super().__init__(
            adata,
            sparse=sparse,
            global_latents=global_latents,
            mean_field=mean_field,
            mask_prior_probability=mask_prior_probability,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout=dropout,
            kl_weight=kl_weight,
            likelihood=likelihood,
            use_rep=use_rep,
            seed=seed,
        )
        self.module.n_cells.copy_(torch.from_numpy(self._training_cells()))

    def predict_with_uncertainty(
        self,
        conditions: pd.DataFrame | Sequence[str] | None = None,
        *,
        n_draws: int = 30,
        seed: int = 0,
        **predict_kwargs: Any,
    ) -> AnnData:
        """Predict conditions under masks and effects drawn from what training left uncertain.

        Parameters
        ----------
        conditions
            As in :meth:`predict`.
        n_draws
            Draws of all masks and effects.
        seed
            Seed of the draws.
        **predict_kwargs
            Passed to :meth:`predict`.

        Returns
        -------
        AnnData ``(conditions, genes)``, float32: means over the draws, and their standard deviation
        in ``.layers["sd"]``. It is that of a condition's mean, not of a cell.

        Raises
        ------
        ValueError
            If the model has neither masks nor effects with a distribution.
        """
        if not (self.settings["sparse"] or self.settings["global_latents"]):
            raise ValueError(
                "with `sparse=False` and `global_latents=False` effects are known without "
                "uncertainty: use `predict`."
            )
        if n_draws < 2:
            raise ValueError(f"`n_draws`={n_draws} must be at least 2.")
        prediction = self.predict(conditions, **predict_kwargs)
        draws = []
        with own_random_state(seed):
            for _ in tqdm(range(n_draws), desc="drawing", leave=False):
                with self.module.drawn():
                    draws.append(self.predict(conditions, **predict_kwargs).X)
        prediction.X = np.mean(draws, axis=0, dtype=np.float64).astype(np.float32)
        prediction.layers["sd"] = np.std(draws, axis=0, dtype=np.float64, ddof=1).astype(np.float32)
        return prediction

    def _build(self) -> SAMSVAEModule:
        v = self.vocabulary
        return SAMSVAEModule(
            self.n_inputs,
            len(self.genes),
            len(v.perturbations),
            v.n_covariates,
            **self.module_settings,
        )

    def _training_cells(self) -> np.ndarray:
        """Training cells of each perturbation, alone and in combinations, float32."""
        conditions = screen_conditions(self.adata, self.screen)
        in_train = conditions.codes[split_of(self.adata, conditions) == TRAIN]
        n = np.bincount(in_train, minlength=len(conditions)).astype(np.float32)
        trained = np.flatnonzero(n)
        return n[trained] @ self.vocabulary.encode_perturbations(conditions.take(trained))
