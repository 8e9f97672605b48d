"""Train a variational autoencoder on annotations."""

from __future__ import annotations

import numpy as np
import torch

from pertscope.models.epochs import device_of, train_epochs
from pertscope.models.isolation import own_random_state
from pertscope.nn.annotation_autoencoder import AnnotationAutoencoder

VAL_SHARE = 0.1


def embed_by_autoencoder(
    x: np.ndarray,
    *,
    n_dims: int,
    n_hidden: int,
    lr: float,
    batch_size: int,
    max_epochs: int,
    patience: int,
    seed: int,
    accelerator: str,
) -> np.ndarray:
    """Latent means of all rows, by weights that lose least on a tenth of them.

    Parameters
    ----------
    x
        Annotations in [0, 1], float32 ``(entities, terms)``, two entities or more.
    n_dims, n_hidden
        See :class:`pertscope.nn.annotation_autoencoder.AnnotationAutoencoder`.
    lr
        Learning rate of Adam.
    batch_size
        Entities per step.
    max_epochs, patience
        See :func:`pertscope.models.epochs.train_epochs`.
    seed
        Seed of all that is drawn.
    accelerator
        ``"auto"``, ``"cpu"`` or ``"gpu"``.

    Returns
    -------
    float32 ``(entities, n_dims)``.
    """
    rng, device = np.random.default_rng(seed), device_of(accelerator)
    order = rng.permutation(len(x))
    n_val = max(1, round(VAL_SHARE * len(x)))
    val, train = torch.as_tensor(x[order[:n_val]], device=device), order[n_val:]

    def noise(n: int) -> torch.Tensor:
        drawn = rng.standard_normal((n, n_dims), dtype=np.float32)
        return torch.as_tensor(drawn, device=device)

    with own_random_state(seed):
        module = AnnotationAutoencoder(x.shape[1], n_dims, n_hidden=n_hidden).to(device)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr)
        fixed = noise(n_val)  # each epoch is validated on the same draws

        def epoch() -> None:
            shuffled = rng.permutation(train)
            for start in range(0, len(shuffled), batch_size):
                rows = torch.as_tensor(x[shuffled[start : start + batch_size]], device=device)
                optimizer.zero_grad()
                module.loss(rows, noise(len(rows))).backward()
                optimizer.step()

        def validate() -> float:
            return module.loss(val, fixed).item()

        train_epochs(module, epoch, validate, max_epochs=max_epochs, patience=patience)
        found = []
        with torch.no_grad():
            for start in range(0, len(x), batch_size):
                rows = torch.as_tensor(x[start : start + batch_size], device=device)
                found.append(module(rows).cpu().numpy())
    return np.concatenate(found)
