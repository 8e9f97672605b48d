"""Building blocks of networks: tensors in, tensors out; no AnnData."""
