from helpers.paths import ROOT

from res3d.cli.reference import reference


def test_commands_page_is_up_to_date():
    """The page is written by python -m res3d.cli.reference > docs/commands.md."""
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == reference()
