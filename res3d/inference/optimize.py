"""``optimize``: the same model, faster."""

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
CPU_BATCH = 8  # clips at a time through what is compiled; from 16 on PyTorch would have it compiled once more
CPU_NUMBERS = 1_200_000  # of those clips together: with more, whole batches of maps are too large for the caches
GRAPHS = 256  # compiled for all models of a process
DTYPES = ("auto", "float32", "bfloat16", "float16")


@runtime_checkable
class DenseModel(Protocol):
    """A model that computes maps from whole clips, which is what pays to compile."""

    def dense_parts(self) -> Iterable[nn.Module]:
        """Modules that compute the same layers whatever a clip shows, heads of single objects apart."""


class OptimizedModel(nn.Module):
    """The result of ``optimize``: called as the model it was made of, in eval mode, without gradients, on one device.

    Other attributes are those of ``network`` (``spec``, ``categories``, ``detect``, ...); its methods run as a call
    does.

    Attributes:
        network: the fused copy of the model.
        device: where it runs.
        dtype: "float32", "bfloat16" or "float16".
    """

    def __init__(self, network: nn.Module, device: torch.device, dtype: str) -> None:
        super().__init__()
        self.network = network
        self.device = device
        self.dtype = dtype
        self._compiled = False
        self._records = False  # whether CUDA graphs write every output to one place

    def forward(self, *args: object, **keywords: object) -> object:
        return self._call(self.network, *args, **keywords)

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules", {})  # a copy in the making has none yet
        if name in modules or "network" not in modules:
            return super().__getattr__(name)
        value = getattr(modules["network"], name)
        return partial(self._call, value) if ismethod(value) else value

    def _call(self, part: Callable[..., object], *args: object, **keywords: object) -> object:
        return tree_map_only(Tensor, self._handed_out, self.run(part, *args, **keywords))

    @torch.no_grad()
    def run(self, part: Callable[..., T], *args: object, **keywords: object) -> T:
        """Call ``part``, a method or module of ``network``, under this model's precision; outputs keep their type."""
        with self._autocast(), frozen_compilation() if self._compiled else nullcontext():
            return part(*args, **keywords)

    def compile_dense(self, *, fixed: bool) -> None:
        """Compile the dense parts of the network, without breaks and for any sizes.

        On a CPU once more, and better, for the first size that comes. On CUDA, with ``fixed``, the backbone for one
        size only, as CUDA graphs.

        Raises:
            RuntimeError: on a CPU without a C++ compiler.
        """
        if self.device.type == "cpu":
            _check_compiler()
            fixed = False
        self._compiled, self._records = True, fixed
        for module in _dense_parts(self.network):
            once = fixed and isinstance(module, FusedResNet3d)
            options: dict[str, str | int | bool | Callable[..., object]] | None = (
                {"triton.cudagraphs": True} if once else None
            )
            compiled = torch.compile(module.forward, fullgraph=True, dynamic=not once, options=options)
            if self.device.type == "cpu":
                first = torch.compile(module.forward, fullgraph=True, dynamic=False)
                compiled = _in_parts(_FirstSize(first, compiled))
            module.forward = _refusing_as(module.forward, compiled)

    def train(self, mode: bool = True) -> "OptimizedModel":
        """Stays in eval mode: norms are folded.

        Raises:
            ValueError: ``mode`` is True.
        """
        if mode:
            raise ValueError("an optimized model cannot be trained: train the model that it was made of")
        return super().train(False)

    def _handed_out(self, output: Tensor) -> Tensor:
        if not output.is_floating_point():
            return output
        widened = output.to(torch.promote_types(output.dtype, torch.float32))
        return widened.clone() if self._records and widened is output else widened

    def _autocast(self) -> AbstractContextManager[object]:
        """For layers that are not fused; those that are have their own type."""
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
    """A fast copy of a backbone, a classifier or a detector; the given model stays as it was.

    Norms are folded into the convolutions before them, sums and ReLUs join them, channels lie innermost in memory, and
    weights are in the computing type. On a CPU the layers run by oneDNN's kernels with weights laid out once, for which
    no compiler is needed, and in float32 most 3×3×3 convolutions take half of their products (see ``WinogradConv``);
    with ``compile``, 1×3×3 and 3×1×1 ones too. With glibc, up to 1 GiB of freed memory then stays with the process (see
    ``keep_freed_memory``), unless ``MALLOC_TRIM_THRESHOLD_`` or another of its variables is set in the environment.

    Args:
        model: the copy runs on its device, in eval mode and without gradients.
        dtype: computing type. "auto" is bfloat16 on CUDA and float32 elsewhere; "float32" is the model's own type.
            Outputs are float32 at least.
        compile: compile the backbone with its weights frozen: for single clips and for batches of any number, on a CPU
            of the first size [T, H, W] that comes, which is the fastest, and, once others come, of any other size (and
            anew for clips of a single frame). Of a detector, the pyramid and the proposal layers too.
        example: a clip, or a list of clips for a detector, like those to come: compiling is done now instead of at the
            first calls. On CUDA its shape is taken for the only one, and recorded as CUDA graphs.

    Returns:
        A callable with the model's arguments and outputs. float32 is within 1e-4 of the model's, relative to the
        largest value; bfloat16 is as near to float32 as under ``torch.autocast``.

    Raises:
        ValueError: an unknown ``dtype``.
        RuntimeError: ``compile`` on a CPU without a C++ compiler.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, not {dtype!r}")
    device = next(model.parameters()).device
    if dtype == "auto":
        dtype = "bfloat16" if device.type == "cuda" else "float32"
    own = next(model.parameters()).dtype
    computing = own if dtype == "float32" else getattr(torch, dtype)
    network = copy.deepcopy(model).eval().requires_grad_(False)
    if dtype != "float32":
        network.float()  # what is not fused runs under autocast, which is for float32
    dense = {layer for part in _dense_parts(network) for layer in part.modules()}
    network = fuse(network, partial(_layer, device=device, dtype=computing, compiled=dense if compile else set()))
    if device.type == "cpu":
        keep_freed_memory()
    optimized = OptimizedModel(network, device, dtype)
    optimized.eval()  # the parts that were put together too
    if compile:
        optimized.compile_dense(fixed=example is not None)
    if example is not None:
        optimized(example)
    return optimized


def _dense_parts(network: nn.Module) -> list[nn.Module]:
    return list(network.dense_parts()) if isinstance(network, DenseModel) else []


def _layer(
    conv: nn.Conv3d,
    norm: nn.Module | None,
    rectified: bool,
    *,
    device: torch.device,
    dtype: torch.dtype,
    compiled: Container[nn.Module],
) -> FusedLayer:
    # A compiler cannot see into packed layers: what it is to compile is fused from plain operations.
    packs = can_pack(device, dtype) and conv not in compiled
    filters = can_pack(device, dtype) and dtype == torch.float32
    axis = choose_axis(conv, sums_are_fused=conv in compiled) if filters else None
    if axis is None:
        return (PackedConv if packs else FusedConv)(conv, norm, rectified=rectified, dtype=dtype)
    if packs:
        return PackedWinogradConv(conv, norm, rectified=rectified, dtype=dtype)
    return WinogradConv(conv, norm, axis=axis, rectified=rectified, dtype=dtype)


@contextmanager
def frozen_compilation() -> Iterator[None]:
    """While it lasts, what ``torch.compile`` made of a network is compiled, at its first calls, with weights frozen.

    The option of that name that ``torch.compile`` takes is read after the graph was traced, too late to put weights
    into it. Frozen graphs are of one model, and all models of a class share one limit of how many there may be.
    """
    with (
        torch._inductor.config.patch(freezing=True),
        torch._dynamo.config.patch(recompile_limit=GRAPHS),
        # Rows and columns may differ where they were equal at first.
        torch.fx.experimental._config.patch(use_duck_shape=False),  # type: ignore[attr-defined]
    ):
        yield


def _refusing_as(plain: Callable[..., T], compiled: Callable[..., T]) -> Callable[..., T]:
    """``compiled``, which refuses clips in the words of ``plain``: a compiler wraps errors in some of its own."""

    def run(*args: object, **keywords: object) -> T:
        try:
            return compiled(*args, **keywords)
        except torch._dynamo.exc.Unsupported:
            plain(*args, **keywords)
            raise

    return run


class _FirstSize:
    """Clips of the first size that comes, in any number, by ``first``; those of other sizes by ``general``."""

    def __init__(self, first: Callable[..., object], general: Callable[..., object]) -> None:
        self.first, self.general = first, general
        self.size: list[object] | None = None  # and all else that was asked for

    def __call__(self, *args: object, **keywords: object) -> object:
        inputs = (args, keywords)
        leaves = tree_leaves(inputs)
        size = [leaf.shape[1:] if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        empty = any(isinstance(leaf, Tensor) and not leaf.numel() for leaf in leaves)
        # The compiled graph uses Winograd, which is only accurate with full-precision float32 products: fall back if
        # TF32 or bfloat16 products have been allowed since it was compiled.
        if empty or size != (self.size or size) or not products_are_exact():
            return self.general(*args, **keywords)
        args, keywords = tree_map_only(Tensor, _of_any_number, inputs)
        outputs = self.first(*args, **keywords)
        self.size = size  # not of clips that were refused
        return outputs


def _of_any_number(clips: Tensor) -> Tensor:
    clips = clips.detach()  # another tensor object, so that the mark below is not on the caller's
    torch._dynamo.maybe_mark_dynamic(clips, 0)
    return clips


def _in_parts(dense: Callable[..., object]) -> Callable[..., object]:
    """The same of any number of clips, computed for as many at a time as are fastest on a CPU."""

    def run(*args: object, **keywords: object) -> object:
        inputs = (args, keywords)
        tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
        clips = len(tensors[0])
        numbers = max(tensor.shape[1:].numel() for tensor in tensors)
        parts = -(-clips // min(CPU_BATCH, max(1, CPU_NUMBERS // max(1, numbers))))
        if parts <= 1:
            return dense(*args, **keywords)
        outputs = []
        for n in range(parts):
            some_args, some_keywords = tree_map_only(Tensor, partial(_part, n=n, parts=parts), inputs)
            outputs.append(dense(*some_args, **some_keywords))
        return tree_map(lambda *made: torch.cat(made), *outputs)

    return run


def _part(tensor: Tensor, *, n: int, parts: int) -> Tensor:
    return tensor.tensor_split(parts)[n]


def _check_compiler() -> None:
    """Refuse to compile for a CPU without a C++ compiler, which torch.compile reports at the first call only."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise RuntimeError(
            f"compile=True needs a C++ compiler, and there is no {compiler!r} here: install one, name yours in the "
            "environment variable CXX, or leave compile=False"
        )
