from helpers.paths import ROOT

from res3d.cli.reference import reference


def test_the_page_of_the_commands_is_what_they_are():
    """Made by: python -m res3d.cli.reference > docs/commands.md."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == reference()
