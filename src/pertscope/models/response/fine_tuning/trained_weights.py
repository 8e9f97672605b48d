"""Which weights of an encoder are trained."""

from __future__ import annotations

from torch import nn

ALL, LORA, FROZEN = WEIGHTS = ("all", "lora", "frozen")


def free_weights(encoder: nn.Module, weights: str, rank: int) -> None:
    """Leave ``"all"`` weights to be trained as they are, adapters only (``"lora"``), or none."""
    if weights == FROZEN:
        encoder.requires_grad_(False)
    elif weights == LORA:
        add_adapters(encoder, rank)


def add_adapters(encoder: nn.Module, rank: int) -> None:
    """Replace, in place, ``W x`` of each linear layer by ``W x + 2 B A x``, and train A and B only.

    A has `rank` rows, B, which is zero at first, as many columns (Hu et al., LoRA, 2022).

    Raises
    ------
    ImportError
        If peft is not installed.
    ValueError
        If the encoder has no linear layer.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError(
            "`weights='lora'` needs peft: `pip install 'pertscope[lora]'`."
        ) from error
    # a subclass, such as that within nn.MultiheadAttention, may never be called
    names = [name for name, layer in encoder.named_modules() if type(layer) is nn.Linear]
    if not names:
        raise ValueError(
            f"`weights='lora'`: {type(encoder).__name__} has no `torch.nn.Linear` to adapt; train "
            "'all' weights, or none of them, 'frozen'."
        )
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names)
    inject_adapter_in_model(settings, encoder)
