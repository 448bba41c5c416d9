"""Settings as frozen dataclasses, read from YAML, plain Python values and the command line.

The type of a field defines the accepted values, the docstring under the field is its help text, and markers in
``Annotated`` add the rest::

    @dataclass(frozen=True, kw_only=True)
    class ClipSettings:
        length: int = 8
        \"\"\"Frames per clip.\"\"\"
        pool: Annotated[str, Choice(POOLS)] = "avg"
        \"\"\"Pooling of a feature map to a vector.\"\"\"

    @dataclass(frozen=True, kw_only=True)
    class Run:
        clips: Annotated[ClipSettings, Short("clip_{}")] = ClipSettings()
        \"\"\"Sampling of clips from a video.\"\"\"
        data: Annotated[Variant[ClipData], Tagged(DATA)] = ...   # {kind: sprites, seed: 3}
        \"\"\"Dataset to train on.\"\"\"

- ``build_dataclass(Run, {"clips": {"length": 16}}, root="run")`` reads plain values.
- ``parse_dataclass`` reads YAML, and ``dump_dataclass`` writes it.
- ``read_settings(Run, split_words(Run, words))`` reads a command line: ``--clips.length 16``, or short
  ``--clip-length 16``.
- ``build_value(Annotated[...], value, where)`` reads a single value.
- ``format_help`` returns the text of ``--help``.

Errors are ``ValueError``s of one line. They name the path of the setting, the value, what is accepted and the nearest
accepted name.

A tagged union (``Tagged``) is a mapping whose key ``kind`` names one dataclass of a table. If the type of the field is
a dataclass or a union of dataclasses, the member is built immediately. If it is ``Variant``, keys and types are checked
immediately, and ``variant.build()`` builds the member later.
"""

from res3d.settings.checks import Range, check_choice, check_fields, check_triple, check_width
from res3d.settings.command_line import deprecation_lines, read_settings, split_words
from res3d.settings.extras import missing_extra
from res3d.settings.fields import Setting, field_docs, settings_of
from res3d.settings.help import choices_of, format_help
from res3d.settings.markers import Alias, Choice, Deprecated, Group, Positional, Short, Shown, Tagged
from res3d.settings.reader import build_dataclass, build_value, check_arguments
from res3d.settings.suggest import did_you_mean, name_list, nearest_name, shorten
from res3d.settings.tables import resolve
from res3d.settings.variant import Variant
from res3d.settings.yaml_form import change_dataclass, dump_dataclass, load_yaml, parse_dataclass, plain

__all__ = [
    "Alias",
    "Choice",
    "Deprecated",
    "Group",
    "Positional",
    "Range",
    "Setting",
    "Short",
    "Shown",
    "Tagged",
    "Variant",
    "build_dataclass",
    "build_value",
    "change_dataclass",
    "check_arguments",
    "check_choice",
    "check_fields",
    "check_triple",
    "check_width",
    "choices_of",
    "deprecation_lines",
    "did_you_mean",
    "dump_dataclass",
    "field_docs",
    "format_help",
    "load_yaml",
    "missing_extra",
    "name_list",
    "nearest_name",
    "parse_dataclass",
    "plain",
    "read_settings",
    "resolve",
    "settings_of",
    "shorten",
    "split_words",
]
