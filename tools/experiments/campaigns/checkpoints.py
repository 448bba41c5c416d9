#!/usr/bin/env python
"""Loads damaged, odd and hostile checkpoints, and counts those that change a model without loading it, or run code.

    python tools/experiments/campaigns/checkpoints.py [--count 300] [--seed 0]

Each case is a file of a small backbone or classifier (safetensors, torch"s zip and legacy formats, a pickle of arrays)
with damaged bytes, or with odd content: tensors missing, renamed, of other shapes, types or layouts, not finite,
dictionaries that hold themselves or are nested deeply, metadata of any JSON type, pickles that call functions.
Outcomes, of `load_weights` and then of `load_model`:

    refused     a WeightsError or FileNotFoundError, and the model is as it was
    loaded      every parameter is finite and, where the file can be read otherwise, equal to the file"s
    changed     refused, but the model is not as it was: must be 0
    wrong       loaded, and parameters differ from those of the file or are not finite: must be 0
    executed    code of the file ran: must be 0
"""

import contextlib
import json
import os
import pickle
import random
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cases import Outcome, main, run_cases
from safetensors.torch import save_file

FORMS = ("model.safetensors", "zip.pth", "legacy.pth", "arrays.pkl")
BYTES = ("cut", "flip", "zero", "swap", "insert", "remove")
SPEC = """
name: tiny
stem: {conv: {kernel: [1, 3, 3]}, width: 4, stride: [1, 2, 2]}
stages:
- {width: 4, blocks: [{convs: [{kernel: [1, 3, 3]}, {kernel: [3, 3, 3]}]}]}
- {width: 8, stride: [1, 2, 2], blocks: [{convs: [{kernel: [1, 3, 3]}, {kernel: [3, 3, 3]}]}]}
"""


@dataclass(frozen=True)
class Case:
    form: str
    change: str
    seed: int


class Evil:
    """Unpickling it makes a folder named "executed"."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def model() -> Any:
    import res3d

    torch.manual_seed(0)
    return res3d.ClipClassifier(res3d.create_backbone(Path("spec.yaml")), 3)


# ---- odd content; each takes the tensors and a generator, and gives what is written


def _some(tensors: dict[str, Any], rng: random.Random) -> str:
    return rng.choice([name for name in tensors if tensors[name].is_floating_point()])


def missing(tensors: dict[str, Any], rng: random.Random) -> Any:
    return {name: value for name, value in tensors.items() if name != _some(tensors, random.Random(rng.random()))}


def renamed(tensors: dict[str, Any], rng: random.Random) -> Any:
    name = _some(tensors, rng)
    return {("x" + key if key == name else key): value for key, value in tensors.items()}


def of(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any], random.Random], Any]:
    """One of the tensors changed."""

    def apply(tensors: dict[str, Any], rng: random.Random) -> Any:
        name = _some(tensors, rng)
        return {**tensors, name: change(tensors[name])}

    return apply


def _quantized(x: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


def _self_holding(tensors: dict[str, Any], rng: random.Random) -> Any:
    data: dict[str, Any] = {"epoch": 3}
    data["state_dict"] = data
    return data


def _deep(tensors: dict[str, Any], rng: random.Random) -> Any:
    data: Any = tensors
    for _ in range(rng.choice([5, 50, 400])):
        data = {rng.choice(["state_dict", "model"]): data}
    return data


def _deep_tuple(tensors: dict[str, Any], rng: random.Random) -> Any:
    key: Any = ()
    for _ in range(60):
        key = (key, key)
    return {key: 1, **tensors}


CONTENT: dict[str, Callable[[dict[str, Any], random.Random], Any]] = {
    "missing": missing,
    "renamed": renamed,
    "reshaped": of(lambda x: x.reshape(-1)),
    "larger": of(lambda x: torch.cat([x, x])),
    "empty": of(lambda x: x[:0]),
    "scalar": of(lambda x: x.flatten()[0]),
    "int8": of(lambda x: x.to(torch.int8)),
    "bool": of(lambda x: x > 0),
    "float16": of(lambda x: x.half()),
    "bfloat16": of(lambda x: x.bfloat16()),
    "float64": of(lambda x: x.double()),
    "complex": of(lambda x: x.to(torch.complex64)),
    "quantized": of(_quantized),
    "sparse": of(lambda x: x.to_sparse()),
    "meta": of(lambda x: x.to("meta")),
    "nan": of(lambda x: torch.full_like(x, float("nan"))),
    "inf": of(lambda x: x / 0),
    "one nan": of(lambda x: torch.cat([x.flatten()[:-1], torch.tensor([float("nan")])]).reshape(x.shape)),
    "not a tensor": of(lambda x: "a text"),
    "none": of(lambda x: None),
    "list": of(lambda x: x.tolist()),
    "number keys": lambda tensors, rng: dict(enumerate(tensors.values())),
    "long key": lambda tensors, rng: {"module." * 150_000 + key: value for key, value in tensors.items()},
    "wrapped": lambda tensors, rng: {"epoch": 1, rng.choice(["state_dict", "model_state", "model"]): tensors},
    "extra wrapper": lambda tensors, rng: {"epoch": 1, "net_of_mine": tensors},
    "self": _self_holding,
    "deep": _deep,
    "deep tuple": _deep_tuple,
    "just a list": lambda tensors, rng: list(tensors.values()),
    "nothing": lambda tensors, rng: {},
    "evil": lambda tensors, rng: {**tensors, "evil": Evil()},
    "ordered": lambda tensors, rng: OrderedDict(tensors),
}
NOT_DENSE = {"quantized", "sparse", "meta"}
METADATA = (
    "1",
    "null",
    "[]",
    '"text"',
    "{",
    "{}",
    '{"kind": "backbone"}',
    '{"kind": "classifier", "spec": 3}',
    '{"kind": "nothing"}',
    '{"kind": ["classifier"]}',
    "[" * 100_000,
    '{"kind": "classifier", "num_classes": 1e9}',
)


def write(form: str, data: Any, folder: Path) -> Path:
    path = folder / form
    if form == "model.safetensors":
        tensors = {str(k): v.contiguous() for k, v in data.items() if isinstance(v, torch.Tensor)}
        save_file(tensors, path, metadata={"res3d": (folder / "metadata.json").read_text()})
    elif form == "arrays.pkl":
        arrays = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in data.items()}
        path.write_bytes(pickle.dumps(arrays, protocol=2))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=form == "zip.pth")
    return path


def damage(path: Path, change: str, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    high = len(data) if rng.random() < 0.5 else min(len(data), 2000)
    size = min(rng.choice([1, 4, 32, 256]), high - 1)
    start = rng.randrange(high - size)
    if change == "cut":
        del data[rng.randrange(len(data)) :]
    elif change == "flip":
        data[start] ^= 1 << rng.randrange(8)
    elif change == "zero":
        data[start : start + size] = bytes(size)
    elif change == "swap":
        other = rng.randrange(high - size)
        data[start : start + size], data[other : other + size] = data[other : other + size], data[start : start + size]
    elif change == "insert":
        data[start:start] = rng.randbytes(size)
    else:
        del data[start : start + size]
    path.write_bytes(data)


def contents(path: Path) -> dict[str, torch.Tensor] | None:
    """The tensors of a plain file, read without res3d; None where it is not a plain file."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".pth":
            data = torch.load(path, weights_only=True, map_location="cpu")
            for key in ("state_dict", "model_state", "model"):
                data = data.get(key, data)
            return {k: v for k, v in data.items() if isinstance(v, torch.Tensor)}
    except Exception:  # torch and pickle raise anything for damaged files
        return None
    return None


def check(path: Path) -> tuple[str, str]:
    """Load a file into a model of its shapes, and then by itself."""
    import res3d
    from res3d.weights import WeightsError

    target = model()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    try:
        res3d.load_weights(target, path)
        kind, detail = "loaded", ""
    except (WeightsError, FileNotFoundError) as error:
        kind, detail = "refused", str(error)
    after = target.state_dict()
    if kind == "refused" and not all(torch.equal(before[name], after[name]) for name in before):
        return "changed", detail
    if kind == "loaded":
        odd = [name for name, value in after.items() if not value.isfinite().all()]
        there = contents(path)
        other = [n for n, v in (there or {}).items() if n in after and not torch.equal(after[n], v.to(after[n].dtype))]
        if odd or other:
            return "wrong", f"{len(odd)} tensors not finite, {len(other)} differ from the file"
    if len(detail) > 2000:
        return "exception", f"a message of {len(detail)} letters"
    with contextlib.suppress(WeightsError, FileNotFoundError):
        res3d.load_model(path)
    return kind, detail


def run(case: Case) -> tuple[str, str]:
    rng = random.Random(case.seed)
    with tempfile.TemporaryDirectory() as name:
        folder, here = Path(name), Path.cwd()
        os.chdir(folder)
        try:
            Path("spec.yaml").write_text(SPEC)
            from res3d.weights import save_weights

            torch.manual_seed(case.seed)
            original = model()
            save_weights(original, folder / "base.safetensors")
            from safetensors import safe_open

            with safe_open(folder / "base.safetensors", "pt") as file:
                metadata = file.metadata()["res3d"]
            if case.change == "metadata":
                metadata = rng.choice(METADATA)
            elif case.change == "huge metadata":
                values = json.loads(metadata)
                values["num_classes"] = 10**9
                metadata = json.dumps(values)
            Path("metadata.json").write_text(metadata)
            data: Any = dict(original.state_dict())
            if case.change in CONTENT:
                data = CONTENT[case.change](data, rng)
            path = write(case.form, data, folder)
            if case.change in BYTES:
                damage(path, case.change, rng)
            elif case.change == "other suffix":
                path = path.rename(folder / rng.choice(["a.pth", "a.safetensors", "a.pkl", "a.npz", "a", "a.mp4"]))
            elif case.change == "zip bomb":
                with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.writestr("archive/data.pkl", bytes(2**28))
            outcome = check(path)
            return ("executed", "") if Path("executed").exists() else outcome
        finally:
            os.chdir(here)


def make_cases(count: int, seed: int) -> list[Case]:
    """All odd contents in all formats that can hold them, then damaged bytes, up to the count."""
    whole = [Case(form, change, seed) for change in CONTENT for form in FORMS if _fits(form, change)]
    whole += [Case("model.safetensors", "metadata", seed * 100 + n) for n in range(len(METADATA) * 2)]
    whole += [Case("model.safetensors", "huge metadata", seed), Case("zip.pth", "zip bomb", seed)]
    whole += [Case(form, "other suffix", seed * 100 + n) for form in FORMS for n in range(3)]
    rng = random.Random(seed)
    rng.shuffle(whole)
    more = range(max(0, count - len(whole)))
    return (whole + [Case(rng.choice(FORMS), rng.choice(BYTES), seed * 10**6 + n) for n in more])[:count]


def _fits(form: str, change: str) -> bool:
    """Return whether a format can hold an odd content at all."""
    if form == "model.safetensors":
        return change not in NOT_DENSE | {"self", "deep", "wrapped", "extra wrapper", "just a list", "evil"}
    return form != "arrays.pkl" or change not in NOT_DENSE | {"bfloat16", "just a list"}


def campaign(
    count: int, seed: int, *, workers: int = 2, show: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    outcomes = []
    for outcome in run_cases(run, make_cases(count, seed), workers=workers, seconds=30):
        show(outcome)
        outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    main(
        __doc__,
        campaign,
        count=300,
        good=["refused", "loaded"],
        bad=["changed", "wrong", "executed"],
    )
