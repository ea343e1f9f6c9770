"""`scatonline filters`: what it writes, and what it refuses in one line."""

from pathlib import Path

import pytest

from service.cli import main

SMALL = ["--J", "2", "--L", "3", "--dpi", "30"]


@pytest.mark.parametrize("dimensions", ["1", "2"])
def test_a_sheet_is_written_and_named(
    dimensions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    asked = ["--family", "lattice", "--dimensions", dimensions, "--set", "angle0=1", *SMALL]
    assert main(["filters", *asked, "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"wrote {out}\n"


def test_the_file_is_named_for_the_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["filters", "--family", "coiflet", "--shape", "32", "24", *SMALL]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["filters-coiflet.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--family", "haar"], "expected one of coiflet, daubechies, lattice, morlet, steerable"),
        (["--set", "c=40"], "filter has c = 40"),
        (["--set", "q=1"], "parameter 'q' is not one of this family's: expected one of theta"),
        (["--set", "c"], "--set: got 'c', expected NAME=VALUE"),
        (["--set", "c=nan"], "--set: got 'c=nan', expected NAME=VALUE with a finite number"),
        (["--dimensions", "3"], "--dimensions: got 3 dimensions, expected 1 or 2"),
        (["--shape", "8", "8", "8"], "--shape: got 3 dimensions, expected 1 or 2"),
        (["--shape", "64", "--dimensions", "2"], "--shape: got 1 numbers with --dimensions 2"),
        (["--shape", "64", "0"], "--shape: got 0, expected at least 4 samples"),
        (["--J", "0"], "bank.J: got 0, expected at least 1"),
        (["--J", "9"], "take a smaller J or a longer input"),
        (["--order", "20"], "daubechies of order 20"),
        (["--bound", "loose"], "--bound: got 'loose', expected one of none, clamp, open, tight"),
        (["--coupling", "loose"], "--coupling: got 'loose', expected one of coupled, free"),
        (["--dpi", "0"], "--dpi: got 0, expected 30 to 600"),
        (["--out", "sheet.doc"], "--out sheet.doc: got the ending '.doc', expected .png"),
        (["--out", "missing/sheet.png"], "--out missing/sheet.png: cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["filters", "--family", "daubechies", *options]) == 1
    written = capsys.readouterr()
    assert written.err.startswith("scatonline: ")
    assert message in written.err
    assert written.err.count("\n") == 1
    assert not written.out
    assert not list(tmp_path.iterdir())
