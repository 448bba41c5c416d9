"""The page of all commands: ``python -m res3d.cli.reference > docs/commands.md`` writes it."""

import sys
from collections.abc import Iterator
from inspect import cleandoc

from res3d.cli.main import COMMANDS
from res3d.settings import Positional, resolve
from res3d.settings.help import grouped, meaning_of, usage, value_word
from res3d.settings.names import Target, flag_of, positional_of

HEAD = """# Commands

Written by `python -m res3d.cli.reference` from the fields of the commands; `res3d COMMAND --help` prints the same.

Every setting is a flag and a key of the YAML file that `--config` names. `key` is its place in the file:
`clips.length` is `clips: {length: 16}` there, and `--clips.length 16` on a command line. The other names are short for
it in both places; flags have hyphens where keys have underscores. Flags go over config files, config files over
defaults; `--print-config` prints what results, as a config file. Mappings can be given key by key: `--model.width 0.5`.
Names are not abbreviated.

`--threads N` holds for torch, NumPy, OpenCV and the video decoder. Without it they use the CPUs that the process is
bound to, no more than a container's quota, or what `OMP_NUM_THREADS` says. Idle threads sleep after a short spin
(`GOMP_SPINCOUNT=10000`, unless the environment has it or `OMP_WAIT_POLICY`): threads that spin slow down everything
else on a busy machine ([figures](benchmarks.md#beside-other-processes))."""


def reference() -> str:
    """Return the page, in Markdown."""
    return "\n\n".join([HEAD, *(part for name in COMMANDS for part in _command(name))]) + "\n"


def _command(name: str) -> Iterator[str]:
    kind = resolve(COMMANDS[name][0])
    yield f"## res3d {name}"
    yield f"`{usage(kind, f'res3d {name}').removeprefix('usage: ')}`"
    yield cleandoc(kind.__doc__ or "")
    positional = positional_of(kind)
    if positional is not None:
        mark = positional.setting.mark(Positional)
        yield f"`{positional.setting.name if mark is None else mark.usage}`: {positional.setting.doc}"
    rows = ["| flag | key | other names | |", "|---|---|---|---|"]
    for title, targets in grouped(kind).items():
        rows.append(f"| **{title}** | | | |")
        rows += [_row(target) for target in targets]
    yield "\n".join(rows)


def _row(target: Target) -> str:
    key = ".".join(target.path)
    flag = target.flag if target.is_switch else f"{target.flag} {value_word(target.setting)}"
    others = [flag_of(name) for name in target.names[1:] if name != key]
    others += [f"{flag_of(name)} (old)" for name in target.deprecated]
    return f"| `{_cell(flag)}` | `{key}` | {' '.join(others)} | {_cell(meaning_of(target.setting))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
