from res3d.cli.progress import show_progress


def test_without_a_terminal_there_is_a_line_now_and_then(capsys):
    with show_progress("a.mp4", 50, seconds=0) as progress:
        progress(10)
        progress(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a.mp4: 10 of 50 frames, ")
    assert lines[1].startswith("a.mp4: 15 of 50 frames, ")
    with show_progress("b.mp4", None, seconds=1000) as progress:
        progress(10)
    assert capsys.readouterr().err == ""
