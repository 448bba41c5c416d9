"""What a command computes on: threads, device, number type."""

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
    """Settings of a command without a network."""

    threads: int | None = None
    """CPU threads of each library; by default as many as there are CPUs that this process may use."""


@dataclass(frozen=True, kw_only=True)
class NetworkComputing(Computing):
    """Settings of a command that runs a network."""

    device: Annotated[str, Shown("auto|cpu|cuda|cuda:N")] = "auto"
    """Where the network runs; auto is CUDA where there is a GPU, and gpu another word for cuda."""
    dtype: Annotated[str, DTYPES] = "auto"
    """Computing type; auto is bfloat16 on CUDA, float32 elsewhere."""


def find_device(name: str) -> str:
    """Return the device that a flag means: "auto" is CUDA where there is one, "gpu" is CUDA.

    Raises:
        UsageError: a device that cannot be used here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "meta":
        raise UsageError("--device meta: holds no data")
    device = "cuda" + name.removeprefix("gpu") if name.partition(":")[0] == "gpu" else name
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {name}: cannot be used here ({first})") from None
    return device


def machine_line(device: "torch.device | str", dtype: str) -> str:
    """Return the line that says what a network runs on: versions, device, threads, computing type."""
    import torch

    place = torch.device(device)
    detail = f"{torch.get_num_threads()} threads" if place.type != "cuda" else torch.cuda.get_device_name(place)
    return f"res3d {__version__}, torch {torch.__version__}, {place} ({detail}), {dtype}"
