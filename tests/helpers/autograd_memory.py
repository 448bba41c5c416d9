"""What a forward pass holds on to."""

import torch


def bytes_kept_for_backward(model: torch.nn.Module, clip: torch.Tensor) -> int:
    """Bytes of memory that autograd keeps after one forward pass, each piece counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = model(clip)
    del held
    return sum(kept.values())
