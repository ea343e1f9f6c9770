"""`scatonline fit`: a model optimised on a recording, for `scatonline serve` to start from."""

import argparse
import sys
from pathlib import Path

from service.errors import ServiceError, SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="recording, .npz in a layout of docs/recordings.md"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="CHECKPOINT", help="folder to write"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write the path there as FILE.json, FILE.md and FILE.png",
    )
    _add_model(parser.add_argument_group("model"))
    _add_limits(parser.add_argument_group("optimisation"))


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="take the model from the service's settings"
    )
    group.add_argument(
        "--name", default="", help="its name (default: the first one there, or 'fitted')"
    )
    group.add_argument("--family", metavar="NAME", help="wavelet family (default: morlet)")
    group.add_argument("--J", type=int, help="scales (default: as the recording allows)")
    group.add_argument("--L", type=int, help="orientations to start from, 2-D (default: 12)")
    group.add_argument("--Q", type=int, help="voices to start from, first layer, 1-D (default: 4)")
    group.add_argument("--grid", type=int, help="cells along an axis that maps are averaged to")
    group.add_argument("--compression", metavar="{none,sqrt,log}", help="of averaged maps")
    group.add_argument("--seed", type=int, help="of every random draw (default: 0)")


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--most", type=int, default=2000, help="samples used, the first ones (default: %(default)s)"
    )
    group.add_argument(
        "--held", type=float, default=0.25, help="share held out as judge (default: %(default)s)"
    )
    group.add_argument(
        "--rounds", type=int, default=12, help="most structure moves (default: %(default)s)"
    )
    group.add_argument(
        "--steps", type=int, default=30, help="most steps of θ a round (default: %(default)s)"
    )
    group.add_argument(
        "--epsilon", type=float, help="share of explained variance that a removal may cost"
    )
    group.add_argument(
        "--min-effective", type=float, help="effective samples below which nothing is removed"
    )
    group.add_argument(
        "--dilations",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="FACTOR",
        help="also learn from every sample as if seen from nearer (above 1) or farther away",
    )
    group.add_argument(
        "--fixed-structure", action="store_true", help="neither drop nor add filters"
    )
    group.add_argument(
        "--classifier",
        default="discriminant",
        metavar="{discriminant,readout}",
        help="what gives the readout of classes its weights (default: %(default)s)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Fits, writes the checkpoint and the report, and says where.

    Returns:
        0 when both are written, 1 when something was refused.
    """
    # Imported here: torch takes seconds, and help need not wait for it.
    from scatonline.errors import ScatOnlineError

    try:
        _fit(parsed)
    except (ServiceError, ScatOnlineError) as error:
        print(f"scatonline: {error}", file=sys.stderr)
        return 1
    return 0


def _fit(parsed: argparse.Namespace) -> None:
    from scatonline.nested import fit
    from service.fit.problem import problem
    from service.fit.result import prepare_folder, write_checkpoint
    from service.recordings import load

    prepare_folder(parsed.out)
    try:
        from service.fit.progress import Bar
        from service.fit.report import write_report
    except ModuleNotFoundError as error:
        # The bar and pictures come with the extra "demo", which a service alone does without.
        raise SettingsError(
            f"fit needs the package {error.name!r}: pip install 'scatonline[demo]'"
        ) from error
    asked = problem(load(parsed.data), parsed)
    with Bar(asked.limits) as bar:
        fitted = fit(asked.spec, asked.samples, asked.session, asked.limits, bar)
    settings = write_checkpoint(parsed.out, fitted.model)
    written = [] if parsed.report is None else write_report(parsed.report, asked, fitted)
    for path in (*written, settings):
        print(f"wrote {path}")
    print(f"start from it: scatonline serve --config {settings}")
