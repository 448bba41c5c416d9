"""Settings for threads, device and number type."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from res3d.cli.errors import UsageError
from res3d.settings import Choice, Shown
from res3d.version import __version__

if TYPE_CHECKING:
    import torch

DTYPES = Choice("res3d.inference.optimize:DTYPES", {"bf16": "bfloat16", "fp32": "float32", "fp16": "float16"})


@dataclass(frozen=True, kw_only=True)
class Computing:
    """Computing settings of a command that runs no network."""

    threads: int | None = None
    """CPU threads that each library may use: PyTorch, NumPy, OpenCV, the video decoder. By default all CPUs that are
    available to the process."""


@dataclass(frozen=True, kw_only=True)
class NetworkComputing(Computing):
    """Computing settings of a command that runs a network."""

    device: Annotated[str, Shown("auto|cpu|cuda|cuda:N")] = "auto"
    """Device that the network runs on. auto is CUDA if a GPU is available, else the CPU. gpu is the same as cuda."""
    dtype: Annotated[str, DTYPES] = "auto"
    """Number type that the network computes with. auto is bfloat16 on CUDA and float32 on the CPU."""


def find_device(name: str) -> str:
    """Return the PyTorch name of a device. "auto" is "cuda" if a GPU is available, else "cpu"; "gpu" is "cuda".

    Raises:
        UsageError: the device cannot be used on this machine.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "meta":
        raise UsageError("--device must be a device with memory, not 'meta'")
    device = "cuda" + name.removeprefix("gpu") if name.partition(":")[0] == "gpu" else name
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {name}: not available on this machine ({first})") from None
    return device


def machine_line(device: "torch.device | str", dtype: str) -> str:
    """Return one line with versions, device and number type: "res3d 0.2.0, torch 2.9.1, cpu (2 threads), float32"."""
    import torch

    device = torch.device(device)
    detail = f"{torch.get_num_threads()} threads" if device.type != "cuda" else torch.cuda.get_device_name(device)
    return f"res3d {__version__}, torch {torch.__version__}, {device} ({detail}), {dtype}"
