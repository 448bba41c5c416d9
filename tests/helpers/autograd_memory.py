"""Measurement of the memory that autograd keeps for a backward pass."""

import torch


def bytes_kept_for_backward(model: torch.nn.Module, clip: torch.Tensor) -> int:
    """Return the bytes that autograd saves in one forward pass; each storage counts once."""
    storage_sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage_sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(clip)
    del output
    return sum(storage_sizes.values())
