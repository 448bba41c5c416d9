"""``optimize``: a fused, and optionally compiled, copy of a model for inference."""

import copy
import os
import shutil
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from inspect import ismethod
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
import torch._dynamo.config
import torch._inductor.config
import torch.fx.experimental._config
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from res3d.inference.fuse import FusedLayer, FusedResNet3d, fuse
from res3d.inference.fused_conv import FusedConv, PackedConv, can_pack
from res3d.inference.malloc import keep_freed_memory
from res3d.inference.winograd import PackedWinogradConv, WinogradConv, choose_axis, products_are_exact

DType = Literal["auto", "float32", "bfloat16", "float16"]
T = TypeVar("T")
CPU_BATCH = 8  # most clips per call of a compiled module; for 16 or more, PyTorch would compile it again
CPU_VALUES = 1_200_000  # most input values per call; with more, the feature maps of a batch do not fit the caches
GRAPHS = 256  # most compiled graphs in a process, for all models together
DTYPES = ("auto", "float32", "bfloat16", "float16")


@runtime_checkable
class DenseModel(Protocol):
    """A model with modules that compute feature maps of whole clips. Only these modules are worth compiling."""

    def dense_parts(self) -> Iterable[nn.Module]:
        """Return the modules that run the same layers for every clip, without the heads that run once per object."""


class OptimizedModel(nn.Module):
    """The result of ``optimize``, called as the original model. It stays in eval mode, and computes no gradients.

    Other attributes and methods are those of ``network`` (``spec``, ``categories``, ``detect``, ...). Methods run under
    the same precision as a call.

    Args:
        network: the fused copy of the model.
        device: the device of the copy.
        dtype: the computing type, "float32", "bfloat16" or "float16".
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: str) -> None:
        super().__init__()
        self.network = network
        self.device = device
        self.dtype = dtype
        self._compiled = False
        self._reuses_outputs = False  # True if CUDA graphs write the outputs of every call to the same memory

    def forward(self, *args: object, **keywords: object) -> object:
        return self._call(self.network, *args, **keywords)

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})  # missing while ``copy`` builds an object
        if name in modules or "network" not in modules:
            return super().__getattr__(name)
        value = getattr(modules["network"], name)
        return partial(self._call, value) if ismethod(value) else value

    def _call(self, part: Callable[..., object], *args: object, **keywords: object) -> object:
        return tree_map_only(Tensor, self._to_output, self.run(part, *args, **keywords))

    @torch.no_grad()
    def run(self, part: Callable[..., T], *args: object, **keywords: object) -> T:
        """Call ``part``, a method or module of ``network``, under this model's precision; outputs keep their type."""
        with self._autocast(), frozen_compilation() if self._compiled else nullcontext():
            return part(*args, **keywords)

    def compile_dense(self, *, fixed: bool) -> None:
        """Compile the dense parts of the network without graph breaks, for clips of any size.

        On a CPU, each part is also compiled for the size of the first clips, which makes those faster.

        Args:
            fixed: on CUDA, compile the backbone as CUDA graphs for the size of the first clips only.

        Raises:
            RuntimeError: the device is a CPU, and there is no C++ compiler.
        """
        if self.device.type == "cpu":
            _check_compiler()
            fixed = False
        self._compiled, self._reuses_outputs = True, fixed
        for module in _dense_parts(self.network):
            one_size = fixed and isinstance(module, FusedResNet3d)
            options: dict[str, str | int | bool | Callable[..., object]] | None = (
                {"triton.cudagraphs": True} if one_size else None
            )
            compiled = torch.compile(module.forward, fullgraph=True, dynamic=not one_size, options=options)
            if self.device.type == "cpu":
                first = torch.compile(module.forward, fullgraph=True, dynamic=False)
                compiled = _in_parts(_FirstSize(first, compiled))
            module.forward = _with_plain_errors(module.forward, compiled)

    def train(self, mode: bool = True) -> "OptimizedModel":
        """Set eval mode; train mode is not possible because norms are folded.

        Raises:
            ValueError: ``mode`` is True.
        """
        if mode:
            raise ValueError("an optimized model cannot be trained: train the original model")
        return super().train(False)

    def _to_output(self, output: Tensor) -> Tensor:
        if not output.is_floating_point():
            return output
        widened = output.to(torch.promote_types(output.dtype, torch.float32))
        return widened.clone() if self._reuses_outputs and widened is output else widened

    def _autocast(self) -> AbstractContextManager[object]:
        """Return the context for layers that are not fused; fused layers convert their input themselves."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.dtype))


def optimize(
    model: nn.Module,
    *,
    dtype: DType = "auto",
    compile: bool = False,
    example: Tensor | None = None,
) -> OptimizedModel:
    """Return a fast copy of a backbone, classifier or detector for inference; ``model`` is unchanged.

    Each convolution is fused with the norm, residual sum and ReLU behind it. Channels lie innermost in memory, and
    weights have the computing type. On a CPU, layers use oneDNN's kernels with packed weights, for which no compiler is
    needed. In float32 on a CPU, most 3×3×3 convolutions need half of the multiplications (see ``WinogradConv``); with
    ``compile``, 1×3×3 and 3×1×1 convolutions too. On a CPU with glibc, up to 1 GiB of freed memory stays in the process
    from then on (see ``keep_freed_memory``), unless ``MALLOC_TRIM_THRESHOLD_`` or another variable of malloc is set.

    Args:
        model: the model to copy. The copy stays on its device, in eval mode and without gradients.
        dtype: computing type. "auto" is bfloat16 on CUDA and float32 elsewhere; "float32" is the type of the model's
            parameters. Outputs in a lower precision are converted to float32.
        compile: compile the backbone with frozen weights, and the pyramid and proposal layers of a detector. On a CPU,
            the first size [T, H, W] of clips is compiled separately and is the fastest. Other sizes share one
            graph per module and are compiled when the first of them arrives, and again for clips of a single frame.
            Single clips and batches are separate graphs; the number of clips in a batch does not matter.
        example: clips as the model takes them. Compilation then takes place now, not at the first calls. On CUDA, the
            backbone is recorded as CUDA graphs for the shape of ``example``.

    Returns:
        A callable with the model's arguments and outputs. float32 outputs are within 1e-4 of the model's, relative to
        the largest value; bfloat16 outputs are as near to float32 as those under ``torch.autocast``.

    Raises:
        ValueError: an unknown ``dtype``.
        RuntimeError: ``compile`` on a CPU without a C++ compiler.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, not {dtype!r}")
    device = next(model.parameters()).device
    if dtype == "auto":
        dtype = "bfloat16" if device.type == "cuda" else "float32"
    model_dtype = next(model.parameters()).dtype
    computing_dtype = model_dtype if dtype == "float32" else getattr(torch, dtype)
    network = copy.deepcopy(model).eval().requires_grad_(False)
    if dtype != "float32":
        network.float()  # layers that are not fused run under autocast, which expects float32 weights
    compiled = {layer for part in _dense_parts(network) for layer in part.modules()} if compile else set()
    network = fuse(network, partial(_make_layer, device=device, dtype=computing_dtype, compiled=compiled))
    if device.type == "cpu":
        keep_freed_memory()
    optimized = OptimizedModel(network, device, dtype)
    optimized.eval()  # the new fused modules too
    if compile:
        optimized.compile_dense(fixed=example is not None)
    if example is not None:
        optimized(example)
    return optimized


def _dense_parts(network: nn.Module) -> list[nn.Module]:
    return list(network.dense_parts()) if isinstance(network, DenseModel) else []


def _make_layer(
    conv: nn.Conv3d,
    norm: nn.Module | None,
    rectified: bool,
    *,
    device: torch.device,
    dtype: torch.dtype,
    compiled: Container[nn.Module],
) -> FusedLayer:
    # torch.compile cannot trace packed layers, so the layers that it compiles consist of plain operations.
    use_packed = can_pack(device, dtype) and conv not in compiled
    may_use_winograd = can_pack(device, dtype) and dtype == torch.float32
    axis = choose_axis(conv, sums_are_fused=conv in compiled) if may_use_winograd else None
    if axis is None:
        return (PackedConv if use_packed else FusedConv)(conv, norm, rectified=rectified, dtype=dtype)
    if use_packed:
        return PackedWinogradConv(conv, norm, rectified=rectified, dtype=dtype)
    return WinogradConv(conv, norm, axis=axis, rectified=rectified, dtype=dtype)


@contextmanager
def frozen_compilation() -> Iterator[None]:
    """Freeze the weights in all graphs that ``torch.compile`` compiles inside the ``with`` block.

    ``torch.compile`` compiles at the first calls of its result, so those calls must take place in the block. Its option
    ``freezing`` has no effect on the weights, because it is read after the graph was traced. Each model needs its own
    frozen graphs, and all models of a class share one limit, which is raised to ``GRAPHS``.
    """
    with (
        torch._inductor.config.patch(freezing=True),
        torch._dynamo.config.patch(recompile_limit=GRAPHS),
        # Without this, a graph traced with H equal to W would only fit clips with H equal to W.
        torch.fx.experimental._config.patch(use_duck_shape=False),  # type: ignore[attr-defined]
    ):
        yield


def _with_plain_errors(plain: Callable[..., T], compiled: Callable[..., T]) -> Callable[..., T]:
    """Return ``compiled``, changed to raise the errors of ``plain``: the compiler wraps them in errors of its own."""

    def run(*args: object, **keywords: object) -> T:
        try:
            return compiled(*args, **keywords)
        except torch._dynamo.exc.Unsupported:
            plain(*args, **keywords)
            raise

    return run


class _FirstSize:
    """A function that calls ``first`` for the first size of clips, and ``general`` for other sizes.

    Args:
        first: compiled for one size; it takes any number of clips.
        general: compiled for any size.
    """

    def __init__(self, first: Callable[..., object], general: Callable[..., object]) -> None:
        self.first, self.general = first, general
        self.size: list[object] | None = None  # shapes of the first tensors without N, and the other arguments

    def __call__(self, *args: object, **keywords: object) -> object:
        inputs = (args, keywords)
        leaves = tree_leaves(inputs)
        size = [leaf.shape[1:] if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        empty = any(isinstance(leaf, Tensor) and not leaf.numel() for leaf in leaves)
        # The compiled graph uses Winograd, which is only accurate with full-precision float32 products: fall back if
        # TF32 or bfloat16 products have been allowed since it was compiled.
        if empty or size != (self.size or size) or not products_are_exact():
            return self.general(*args, **keywords)
        args, keywords = tree_map_only(Tensor, _mark_batch_dynamic, inputs)
        outputs = self.first(*args, **keywords)
        self.size = size  # set only after a call without an error
        return outputs


def _mark_batch_dynamic(clips: Tensor) -> Tensor:
    """Return the clips, marked such that the compiled graph accepts any number of them."""
    clips = clips.detach()  # another tensor object, so that the caller's tensor is not marked
    torch._dynamo.maybe_mark_dynamic(clips, 0)
    return clips


def _in_parts(dense: Callable[..., object]) -> Callable[..., object]:
    """Return ``dense``, changed to split batches into the numbers of clips that are fastest on a CPU."""

    def run(*args: object, **keywords: object) -> object:
        inputs = (args, keywords)
        tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
        clips = len(tensors[0])
        values = max(tensor.shape[1:].numel() for tensor in tensors)
        parts = -(-clips // min(CPU_BATCH, max(1, CPU_VALUES // max(1, values))))
        if parts <= 1:
            return dense(*args, **keywords)
        outputs = []
        for n in range(parts):
            some_args, some_keywords = tree_map_only(Tensor, partial(_part, n=n, parts=parts), inputs)
            outputs.append(dense(*some_args, **some_keywords))
        return tree_map(lambda *tensors: torch.cat(tensors), *outputs)

    return run


def _part(tensor: Tensor, *, n: int, parts: int) -> Tensor:
    return tensor.tensor_split(parts)[n]


def _check_compiler() -> None:
    """Check that there is a C++ compiler: torch.compile would fail without one, but only at the first call.

    Raises:
        RuntimeError: there is no C++ compiler.
    """
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise RuntimeError(
            f"compile=True needs a C++ compiler, and {compiler!r} was not found: install it, set the environment "
            "variable CXX to another compiler, or use compile=False"
        )
