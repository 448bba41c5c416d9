"""Names of the settings of a command: dotted paths, short names and aliases, as flags and as configuration keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from res3d.settings.fields import Setting, markers_of, once_per_class, origin_of, settings_of, without_markers
from res3d.settings.markers import Alias, Deprecated, Positional, Short, Tagged
from res3d.settings.types import Class, Hint
from res3d.settings.variant import Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One setting in the tree of a command, with its path and names."""

    path: tuple[str, ...]
    """Field names from the command down to the setting."""
    setting: Setting
    """The field itself."""
    names: tuple[str, ...]
    """Accepted names, with underscores; ``--help`` shows the first."""
    deprecated: tuple[str, ...] = ()
    """Old names. They are accepted; used as a flag, they print one line with the first of ``names``."""

    @property
    def flag(self) -> str:
        """The flag that ``--help`` shows."""
        return flag_of(self.names[0])

    @property
    def is_open(self) -> bool:
        """True for a mapping or a tagged union, whose keys can be set with flags: ``--model.width 0.5``."""
        return is_open(self.setting.hint)

    @property
    def is_switch(self) -> bool:
        """True for a setting of type bool, which has two flags without a value: ``--draw``, ``--no-draw``."""
        return self.setting.bare is bool


def flag_of(name: str) -> str:
    """Return the flag of a name: "--max-lost" for "max_lost"."""
    return "--" + name.replace("_", "-")


def is_open(hint: Hint) -> bool:
    """Return True for the type of a mapping or a tagged union, optional or not."""
    if markers_of(hint, Tagged):
        return True
    bare = without_markers(hint)
    return any(origin_of(part) in (dict, Variant) for part in (bare, *get_args(bare)))


@once_per_class
def targets_of(kind: Class) -> tuple[Target, ...]:
    """Return all settings of a command, depth first, in the order of its fields.

    Raises:
        TypeError: two settings have the same name.
    """
    targets = tuple(_walk(kind, (), ()))
    owners: dict[str, Target] = {}
    for target in targets:
        for name in (*target.names, *target.deprecated):
            if owners.setdefault(name, target) is not target:
                raise TypeError(f"{kind.__name__}: {name!r} is {owners[name].path} and {target.path}")
    return targets


@once_per_class
def names_of(kind: Class) -> Mapping[str, Target]:
    """Return the settings of a command by name. A setting with several names is there once per name."""
    return MappingProxyType({n: target for target in targets_of(kind) for n in (*target.names, *target.deprecated)})


def positional_of(kind: Class) -> Target | None:
    """Return the setting that takes the words without a flag, or None if the command has no such setting."""
    return next((target for target in targets_of(kind) if target.setting.mark(Positional)), None)


def _walk(kind: Class, path: tuple[str, ...], patterns: tuple[str, ...]) -> Iterator[Target]:
    for setting in settings_of(kind):
        setting_path = (*path, setting.name)
        yield _target(setting, setting_path, patterns)
        if setting.nested:
            short = setting.mark(Short)
            yield from _walk(setting.bare, setting_path, short.patterns if short else ())


def _target(setting: Setting, path: tuple[str, ...], patterns: tuple[str, ...]) -> Target:
    deprecated = tuple(name for mark in markers_of(setting.hint, Deprecated) for name in mark.names)
    aliases = tuple(name for mark in markers_of(setting.hint, Alias) for name in mark.names)
    short = () if setting.nested else tuple(pattern.format(setting.name) for pattern in patterns)
    names = dict.fromkeys((*short, ".".join(path), *aliases))
    return Target(
        path=path,
        setting=setting,
        names=tuple(name for name in names if name not in deprecated),
        deprecated=deprecated,
    )
