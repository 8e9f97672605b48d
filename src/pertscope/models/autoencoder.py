"""The base of response models that take cells apart: their latent space, by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pertscope._core.conditions import screen_conditions
from pertscope._core.matrix import dense_rows
from pertscope.models.checks import encoder_input, require_genes
from pertscope.models.doses import treatments
from pertscope.models.network import NetworkModel

if TYPE_CHECKING:
    from anndata import AnnData

    from pertscope.nn.autoencoder_module import AutoencoderModule

CELLS_PER_CHUNK = 1024


class AutoencoderModel(NetworkModel):
    """A network that takes cells apart into a basal state and what was done to them.

    Trains on perturbed cells and controls alike; shows its latent space.
    """

    module: AutoencoderModule

    @abstractmethod
    def _build(self) -> AutoencoderModule:
        """The module, from ``self.settings``, ``self.genes`` and ``self.vocabulary``."""

    def get_latent_representation(
        self, adata: AnnData | None = None, *, perturbed: bool = True
    ) -> np.ndarray:
        """Latent state of every cell of a screen.

        Parameters
        ----------
        adata
            Screen; by default the one that the model was made with.
        perturbed
            With what was done to the cell added, as the decoder sees it; otherwise the basal state.

        Returns
        -------
        Array ``(cells, n_latent)``, float32, in the order of the cells: fit for ``adata.obsm``.

        Raises
        ------
        ValueError
            If the model is not trained, the genes are others, or the screen holds covariate values
            (with `perturbed`, also perturbations) that the model never saw.
        """
        self._require_trained()
        adata = self.adata if adata is None else adata
        require_genes(self.genes, adata)
        conditions, codes = treatments(adata.obs, screen_conditions(adata, self.screen))
        covariates = self.vocabulary.encode_covariates(conditions)
        applied = self.vocabulary.encode_perturbations(conditions) if perturbed else None
        x = encoder_input(adata, self.settings.get("use_rep"), self.screen.layer)
        parts = []
        with torch.inference_mode():
            for start in range(0, adata.n_obs, CELLS_PER_CHUNK):
                rows = np.arange(start, min(start + CELLS_PER_CHUNK, adata.n_obs))
                code = codes[rows]
                cells = np.ascontiguousarray(dense_rows(x, rows), dtype=np.float32)
                state = self.module.latent(
                    self.seen(torch.from_numpy(cells)),
                    None if applied is None else torch.from_numpy(applied[code]),
                    torch.from_numpy(covariates[code]),
                )
                parts.append(state.numpy())
        return np.concatenate(parts)

    def get_perturbation_embeddings(self) -> pd.DataFrame:
        """What each perturbation is in latent space.

        Returns
        -------
        Table ``(perturbations, dimensions)``, float32, rows named by perturbation.
        """
        self._require_trained()
        names = pd.Index(self.vocabulary.perturbations, name=self.screen.perturbation_key)
        with torch.inference_mode():
            singles = torch.from_numpy(self.vocabulary.singles())
            return self._frame(self.module.perturbation_embeddings(singles), names)

    def get_covariate_embeddings(self) -> pd.DataFrame:
        """What each covariate value is in latent space.

        Returns
        -------
        Table ``(covariate values, dimensions)``, float32, rows named by covariate and value; no
        rows where the screen has no covariates.
        """
        self._require_trained()
        pairs = [(k, v) for k, values in self.vocabulary.covariates.items() for v in values]
        names = pd.MultiIndex.from_tuples(pairs, names=["covariate", "value"])
        return self._frame(self.module.covariate_embeddings(), names)

    @staticmethod
    def _frame(embeddings: torch.Tensor, names: pd.Index) -> pd.DataFrame:
        return pd.DataFrame(embeddings.detach().numpy(), index=names)
