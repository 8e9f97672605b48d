"""The compositional perturbation autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pertscope.models.autoencoder import AutoencoderModel
from pertscope.models.response.cpa.dose_response import dose_response, has_curves
from pertscope.models.response.cpa.module import CPAModule
from pertscope.nn.adversarial_module import AdversarialModule
from pertscope.nn.adversary import Adversary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from pertscope.nn.autoencoder_module import AutoencoderModule


@final
class CPA(AutoencoderModel):
    r"""Compositional perturbation autoencoder: add embeddings to a basal state, and decode.

    .. math::
        z_\mathrm{basal} = f_\mathrm{enc}(x), \qquad
        \hat x = f_\mathrm{dec}(z_\mathrm{basal} + p E + c\,C)

    with multilayer perceptrons f, the multi-hot perturbation p, the one-hot covariates c and an
    embedding for each of their values. It sees the cell itself, perturbed or control; a prediction
    encodes control cells and adds another perturbation. So the basal state should not say what was
    done to the cell: an adversary learns to tell p and each covariate from it, and the autoencoder
    to deceive the adversary. The two lower

    .. math::
        \text{autoencoder:}\quad & \lVert x - \hat x \rVert^2 / 2
            + w_\mathrm{KL}\,\mathrm{KL} - w_\mathrm{adv}\,A \\
        \text{adversary:}\quad & A + w_\mathrm{pen}
            \sum_t \mathrm{mean} \Big(\frac{\partial \sum_k a_{tk}}{\partial \tilde z}\Big)^2

    A is the adversary's negative log-likelihood of a cell: binary cross-entropy summed over
    perturbations, plus the cross-entropy of each covariate. :math:`a_t` are its logits of target t
    and :math:`\tilde z` is the basal state, standardised over the batch, that it sees (else a
    state could deceive it by being small); the mean is over cells and dimensions. All terms of the
    first line are in nats per cell. The training loss that is reported is that line divided by
    half the number of genes, without the adversary's term: without divergence it is the mean
    squared error.

    Where doses are registered and perturbations are one-hot, p holds what a curve of each
    perturbation makes of its scaled dose: a rising sigmoid, 1 at the highest dose in train, that is
    learned with the rest (:meth:`get_dose_response`).

    The adversary enters after `warmup_epochs` in which the autoencoder trains alone. From then on
    the autoencoder has one step in `adversary_steps` and the adversary all others, so raise
    ``max_epochs`` with `adversary_steps`. The best weights are those of the epochs after the
    warm-up.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    adversarial
        Train against the adversary; otherwise there is none.
    variational
        Draw basal states from normal distributions, held near the standard normal: what is for the
        perturbation's vector to say then costs nothing there. It is the draws that the adversary
        clears; their means, which predictions take, may still tell perturbations apart.
    n_hidden
        Width of the hidden layers of encoder and decoder.
    n_latent
        Dimensions of the latent space.
    n_layers
        Hidden layers of the encoder, and of the decoder.
    n_hidden_adversary, n_layers_adversary
        Width and number of the adversary's hidden layers, for each target.
    dropout
        Share of hidden units of encoder and decoder dropped in training. The encoder's hides from
        the adversary what the state says in prediction: leave it at 0 with a narrow network.
    kl_weight
        Weight of the divergence, where `variational`: 1 is the ELBO with unit variance. With more
        of it, or few genes, basal states say less, and nothing in the end.
    adversary_weight
        Weight of the adversary's loss against the reconstruction.
    penalty_weight
        Weight of the adversary's gradient penalty against its loss.
    adversary_steps
        One step in so many is the autoencoder's: 2 or more.
    warmup_epochs
        Epochs without adversary that come first.
    softplus
        Force the output to be positive.
    likelihood
        ``"mse"``; ``"gaussian"``, which learns the variance of each gene in each cell; or, where
        the registered layer holds counts, ``"nb"`` and ``"zinb"``: (zero-inflated) negative
        binomial. Predictions are means on the registered scale; of counts, in cells with as many
        counts as the controls.
    use_rep
        Key of ``.obsm`` with what the encoder sees of a cell in place of its expression, such as
        the embedding of a foundation model.
    perturbation_embedding
        Name of vectors that :func:`pertscope.pp.add_perturbation_embedding` kept, in place of
        one-hot perturbations: whatever has one can be predicted, seen or not.
    seed
        Seed of the weights, of the order of cells, of dropout, of draws and of the matched
        controls.

    References
    ----------
    Lotfollahi et al., Molecular Systems Biology (2023), 19:e11517.
    Wu et al., PerturBench (2024), appendix D.5; ``adversarial=False`` is their "CPA (noAdv)".

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.CPA.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.CPA(adata, n_hidden=32, n_latent=8, warmup_epochs=1)
    >>> model.train(max_epochs=2)
    >>> model.predict().n_vars
    30
    >>> adata.obsm["X_cpa"] = model.get_latent_representation(perturbed=False)
    >>> model.get_perturbation_embeddings().shape
    (6, 8)
    """

    name: ClassVar[str] = "cpa"
    affine: ClassVar[bool] = False

    def __init__(
        self,
        adata: AnnData,
        *,
        adversarial: bool = True,
        variational: bool = True,
        n_hidden: int = 256,
        n_latent: int = 64,
        n_layers: int = 2,
        n_hidden_adversary: int = 128,
        n_layers_adversary: int = 2,
        dropout: float = 0.0,
        kl_weight: float = 1.0,
        adversary_weight: float = 1.0,
        penalty_weight: float = 1.0,
        adversary_steps: int = 3,
        warmup_epochs: int = 5,
        softplus: bool = False,
        likelihood: str = "mse",
        use_rep: str | None = None,
        perturbation_embedding: str | None = None,
        seed: int = 0,
    ) -> None:
        if adversary_steps < 2:
            raise ValueError(
                f"`adversary_steps`={adversary_steps} must be at least 2, for the adversary to "
                "train at all; pass `adversarial=False` to train without it."
            )
        if adversarial and perturbation_embedding is not None:
            raise ValueError(
                "the adversary tells perturbations apart by name, not by their vectors: pass "
                "`adversarial=False` with `perturbation_embedding`."
            )
        weights = {
            "kl_weight": kl_weight,
            "adversary_weight": adversary_weight,
            "penalty_weight": penalty_weight,
            "warmup_epochs": warmup_epochs,
        }
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"`{name}`={weight} must be zero or more.")
        super().__init__(
            adata,
            adversarial=adversarial,
            variational=variational,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            n_hidden_adversary=n_hidden_adversary,
            n_layers_adversary=n_layers_adversary,
            dropout=dropout,
            kl_weight=kl_weight,
            adversary_weight=adversary_weight,
            penalty_weight=penalty_weight,
            adversary_steps=adversary_steps,
            warmup_epochs=warmup_epochs,
            softplus=softplus,
            likelihood=likelihood,
            use_rep=use_rep,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        )

    def get_dose_response(self, doses: Sequence[float] | None = None) -> pd.DataFrame:
        """Share of its effect that a perturbation has at a dose, by the curves that were learned.

        Parameters
        ----------
        doses
            In the unit of the registered column; by default 0 and 25 from the lowest to the highest
            dose in train, evenly spaced in their logarithm.

        Returns
        -------
        Table ``(doses, perturbations)``, float32: 0 at dose 0, 1 at the highest dose in train.

        Raises
        ------
        ValueError
            If the model is not trained, has no curves, or a dose is negative.
        """
        self._require_trained()
        (cpa,) = (m for m in self.module.modules() if isinstance(m, CPAModule))
        return dose_response(cpa.doses, self.vocabulary, doses)

    def _build(self) -> AutoencoderModule:
        s, v = self.settings, self.vocabulary
        n_genes, n_perturbations = len(self.genes), v.n_perturbation_inputs
        shared = ("variational", "kl_weight", "n_hidden", "n_latent", "n_layers", "likelihood")
        autoencoder = CPAModule(
            self.n_inputs,
            n_genes,
            n_perturbations,
            v.n_covariates,
            **{k: s[k] for k in (*shared, "dropout", "softplus")},
            dose_curves=has_curves(v),
        )
        if not s["adversarial"]:
            return autoencoder
        adversary = Adversary(
            s["n_latent"],
            n_perturbations,
            [len(values) for values in v.covariates.values()],
            n_hidden=s["n_hidden_adversary"],
            n_layers=s["n_layers_adversary"],
        )
        return AdversarialModule(
            autoencoder,
            adversary,
            adversary_weight=2 * s["adversary_weight"] / n_genes,  # the reconstruction's unit
            **{k: s[k] for k in ("penalty_weight", "adversary_steps", "warmup_epochs")},
        )
