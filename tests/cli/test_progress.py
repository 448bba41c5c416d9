from res3d.cli.progress import show_progress


def test_progress_without_a_terminal_prints_lines(capsys):
    with show_progress("a.mp4", 50, seconds=0) as progress:
        progress(10)
        progress(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a.mp4: 10 of 50 frames, ")
    assert lines[1].startswith("a.mp4: 15 of 50 frames, ")
    with show_progress("b.mp4", None, seconds=1000) as progress:
        progress(10)
    assert capsys.readouterr().err == ""
