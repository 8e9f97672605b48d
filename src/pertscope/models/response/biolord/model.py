"""Basal state, perturbation and covariates side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from pertscope.models.autoencoder import AutoencoderModel
from pertscope.models.response.biolord.module import BiolordModule

if TYPE_CHECKING:
    from anndata import AnnData


@final
class Biolord(AutoencoderModel):
    r"""Autoencoder whose basal state is kept short and noisy (Biolord*).

    .. math::
        \hat x = f_{dec}([z + \epsilon,\ f_{pert}(p),\ a_{c_1}, a_{c_2}, \ldots]), \qquad
        z = f_{enc}(x), \quad \epsilon \sim N(0, \text{noise}^2)

    with p the multi-hot perturbation and a learned vector :math:`a_{c_k}` for every value of every
    covariate. The loss of a cell over G genes is

    .. math::
        \frac{1}{G} \big[ \lVert x - \hat x \rVert^2 + \text{penalty} \lVert z \rVert^2 \big]

    Noise and penalty together limit what :math:`z` can tell, so that what perturbation and
    covariates explain is left to them: a direction of :math:`z` pays where it explains a variance,
    summed over genes, of more than about :math:`\text{penalty} \cdot \text{noise}^2`. Without
    noise the penalty does nothing, for the decoder can undo any shrinkage. There is noise in
    training only.

    Parameters
    ----------
    adata
        Registered, split screen on a log or standardised scale; of counts for the `likelihood`
        ``"nb"`` or ``"zinb"``.
    n_hidden
        Width of the hidden layers.
    n_latent
        Dimensions of the basal state, of the encoded perturbation and of each covariate's vector.
    n_layers
        Hidden layers in each perceptron.
    dropout
        Share of hidden units dropped in training.
    noise
        Standard deviation of the noise on the basal state.
    penalty
        Weight of the basal state's squared length.
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
        Seed of the weights, of the order of cells, of dropout, of the matched controls and of the
        noise.

    Raises
    ------
    ValueError
        If `noise` or `penalty` is negative.

    References
    ----------
    Piran et al., Nature Biotechnology (2024); Wu et al., PerturBench (2024), appendix D.5, which
    encodes perturbations as labels in place of features.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.simulate_screen(n_perturbations=6, n_genes=30, seed=0)
    >>> ps.models.Biolord.setup_anndata(adata, covariate_keys=["cell_type"])
    >>> ps.pp.normalize(adata)
    >>> ps.pp.split_transfer(adata)  # doctest: +ELLIPSIS
           conditions ...
    >>> model = ps.models.Biolord(adata, n_hidden=32, n_latent=8)
    >>> model.train(max_epochs=1)
    >>> model.get_covariate_embeddings().shape
    (3, 8)
    """

    name: ClassVar[str] = "biolord"
    affine: ClassVar[bool] = False
    module: BiolordModule

    def __init__(
        self,
        adata: AnnData,
        *,
        n_hidden: int = 256,
        n_latent: int = 64,
        n_layers: int = 1,
        dropout: float = 0.1,
        noise: float = 0.1,
        penalty: float = 100.0,
        likelihood: str = "mse",
        use_rep: str | None = None,
        perturbation_embedding: str | None = None,
        seed: int = 0,
    ) -> None:
        for what, value in (("noise", noise), ("penalty", penalty)):
            if not value >= 0:
                raise ValueError(f"`{what}`={value} must not be negative.")
        super().__init__(
            adata,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout=dropout,
            noise=noise,
            penalty=penalty,
            likelihood=likelihood,
            use_rep=use_rep,
            perturbation_embedding=perturbation_embedding,
            seed=seed,
        )

    def _build(self) -> BiolordModule:
        v = self.vocabulary
        sizes = [len(values) for values in v.covariates.values()]
        n_genes, n_perturbations = len(self.genes), v.n_perturbation_inputs
        return BiolordModule(self.n_inputs, n_genes, n_perturbations, sizes, **self.module_settings)
