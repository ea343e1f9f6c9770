"""`scatonline filters`: a wavelet family's filter bank as a picture."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from service.errors import ServiceError, SettingsError

# Inputs, and scales that fit into them with room for the padding.
_SHAPES = {1: (1024,), 2: (64, 64)}
_SCALES = {1: 5, 2: 3}
_DPI = (30, 600)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument(
        "--family",
        required=True,
        metavar="NAME",
        help="wavelet family, such as morlet; all are named in answer to one that does not exist",
    )
    parser.add_argument(
        "--dimensions", type=int, metavar="{1,2}", help="1: over time, 2: in the plane (default)"
    )
    parser.add_argument(
        "--shape",
        type=int,
        nargs="+",
        metavar="N",
        help="size of an input, one number or two (default: 1024, or 64 64)",
    )
    parser.add_argument("--J", type=int, help="scales (default: 5 in 1-D, 3 in 2-D)")
    parser.add_argument("--L", type=int, default=8, help="orientations, 2-D (default: %(default)s)")
    parser.add_argument(
        "--Q", type=int, default=4, help="voices an octave, 1-D (default: %(default)s)"
    )
    parser.add_argument(
        "--order",
        type=int,
        default=0,
        help="zeros, vanishing moments, angles or harmonics; 0: the family's own (default)",
    )
    parser.add_argument(
        "--exponentials",
        type=int,
        default=1,
        help="pairs of exponentials of a Daubechies filter (default: %(default)s)",
    )
    parser.add_argument(
        "--coupling",
        default="coupled",
        metavar="{coupled,free}",
        help="whether exponentials are one at all levels (default: %(default)s)",
    )
    parser.add_argument(
        "--bound",
        default="open",
        metavar="{none,clamp,open,tight}",
        help="how the Littlewood-Paley sum is kept below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="give all filters this value of a parameter, in its unit; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.png",
        help="where to write; PDF and SVG by their endings (default: filters-NAME.png)",
    )
    parser.add_argument(
        "--dpi", type=int, default=110, help="pixels an inch (default: %(default)s)"
    )


def run(parsed: argparse.Namespace) -> int:
    """Draws the sheet and names the file.

    Returns:
        0 when it is written, 1 when something was refused.
    """
    # Imported here: torch takes seconds, and help need not wait for it.
    from scatonline.errors import ScatOnlineError

    try:
        _draw(parsed)
    except (ServiceError, ScatOnlineError) as error:
        print(f"scatonline: {error}", file=sys.stderr)
        return 1
    return 0


def _draw(parsed: argparse.Namespace) -> None:
    shape = _shape(parsed.dimensions, parsed.shape)
    values = _values(parsed.values)
    if not _DPI[0] <= parsed.dpi <= _DPI[1]:
        raise SettingsError(f"--dpi: got {parsed.dpi}, expected {_DPI[0]} to {_DPI[1]}")
    out: Path = parsed.out or Path(f"filters-{parsed.family}.png")
    try:
        from scatonline.plots import family_sheet
    except ModuleNotFoundError as error:
        # Pictures come with the extra "demo", which a service alone does without.
        raise SettingsError(
            f"pictures need the package {error.name!r}: pip install 'scatonline[demo]'"
        ) from error
    from scatonline.config import BankSpec, Bound, Coupling

    _one_of("--bound", parsed.bound, get_args(Bound))
    _one_of("--coupling", parsed.coupling, get_args(Coupling))
    spec = BankSpec(
        family=parsed.family,
        J=_SCALES[len(shape)] if parsed.J is None else parsed.J,
        L=parsed.L,
        Q=(parsed.Q,),
        bound=parsed.bound,
        order=parsed.order,
        exponentials=parsed.exponentials,
        coupling=parsed.coupling,
    )
    figure = family_sheet(spec, shape, values)
    endings = figure.canvas.get_supported_filetypes()
    if out.suffix.removeprefix(".").lower() not in endings:
        raise SettingsError(f"--out {out}: got the ending {out.suffix!r}, expected .png")
    try:
        figure.savefig(out, dpi=parsed.dpi)
    except OSError as error:
        raise SettingsError(
            f"--out {out}: cannot be written: {error.strerror}. Name a file in a folder that exists"
        ) from error
    print(f"wrote {out}")


def _one_of(option: str, got: str, known: Sequence[str]) -> None:
    if got not in known:
        raise SettingsError(f"{option}: got {got!r}, expected one of {', '.join(known)}")


def _shape(dimensions: int | None, given: Sequence[int] | None) -> tuple[int, ...]:
    """What the two options say together."""
    asked = len(given) if dimensions is None and given else dimensions or 2
    if asked not in _SHAPES:
        what = "--shape" if dimensions is None else "--dimensions"
        raise SettingsError(f"{what}: got {asked} dimensions, expected 1 or 2")
    shape = tuple(given) if given else _SHAPES[asked]
    if len(shape) != asked:
        raise SettingsError(
            f"--shape: got {len(shape)} numbers with --dimensions {asked}, expected {asked}: "
            "leave out one of the two options"
        )
    if min(shape) < 4:
        raise SettingsError(f"--shape: got {min(shape)}, expected at least 4 samples an axis")
    return shape


def _values(texts: Sequence[str]) -> dict[str, float]:
    """From NAME=VALUE; the last one of a name counts."""
    values = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (name and equals and math.isfinite(value)):
            raise SettingsError(f"--set: got {text!r}, expected NAME=VALUE with a finite number")
        values[name.strip()] = value
    return values
