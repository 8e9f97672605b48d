"""Models of the response to perturbations, in the style of scvi-tools.

Baselines import no torch; networks import it when they are first named.
"""

from typing import TYPE_CHECKING, Any

from pertscope.models._presets import presets
from pertscope.models._registry import MODELS

if TYPE_CHECKING:
    from pertscope.models.response.additive import Additive
    from pertscope.models.response.bilinear import Bilinear
    from pertscope.models.response.biolord.model import Biolord
    from pertscope.models.response.context_mlp.model import ContextMLP
    from pertscope.models.response.cpa.model import CPA
    from pertscope.models.response.decoder_only.model import DecoderOnly
    from pertscope.models.response.embedding_fusion.model import EmbeddingFusion
    from pertscope.models.response.embedding_regression import EmbeddingRegression
    from pertscope.models.response.fine_tuning.model import FineTuning
    from pertscope.models.response.generative.model import Generative
    from pertscope.models.response.latent_additive.model import LatentAdditive
    from pertscope.models.response.linear.model import Linear
    from pertscope.models.response.mean_effect import MeanEffect
    from pertscope.models.response.no_change import NoChange
    from pertscope.models.response.sams_vae.model import SAMSVAE

__all__ = [
    "CPA",
    "SAMSVAE",
    "Additive",
    "Bilinear",
    "Biolord",
    "ContextMLP",
    "DecoderOnly",
    "EmbeddingFusion",
    "EmbeddingRegression",
    "FineTuning",
    "Generative",
    "LatentAdditive",
    "Linear",
    "MeanEffect",
    "NoChange",
    "presets",
]

_ENTRIES = {entry.class_name: entry for entry in MODELS.values()}


def __getattr__(name: str) -> Any:
    if name in _ENTRIES:
        return _ENTRIES[name].load()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
