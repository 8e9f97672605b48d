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
        Registered, split screen on a log or standardised scale.
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
            seed=seed,
        )

    def _build(self) -> BiolordModule:
        v = self.vocabulary
        settings = {k: s for k, s in self.settings.items() if k != "seed"}
        sizes = [len(values) for values in v.covariates.values()]
        return BiolordModule(len(self.genes), len(v.perturbations), sizes, **settings)
