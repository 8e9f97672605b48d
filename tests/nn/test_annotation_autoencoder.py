"""The evidence lower bound, against torch's distributions."""

from __future__ import annotations

import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from pertscope.nn.annotation_autoencoder import AnnotationAutoencoder


def test_loss_is_the_negative_bound():
    torch.manual_seed(0)
    module = AnnotationAutoencoder(6, 3, n_hidden=4)
    x = (torch.rand(5, 6) < 0.4).float()
    noise = torch.randn(5, 3)
    mean, sd = module.posterior(x)
    assert (sd > 0).all()
    likelihood = Bernoulli(logits=module.decoder(mean + sd * noise)).log_prob(x).sum(dim=1)
    divergence = kl_divergence(Normal(mean, sd), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(module.loss(x, noise), (divergence - likelihood).mean())
    torch.testing.assert_close(module(x), mean)
