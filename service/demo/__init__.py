"""`scatonline demo`: a recording streamed to a real service, and what came of it."""

import argparse
import math
import sys
from pathlib import Path

from service.errors import ServiceError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="an .npz recording (docs/recordings.md); without it a built-in one",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="folder for pictures, summary, settings and log (default: %(default)s)",
    )
    parser.add_argument(
        "--samples",
        type=_count,
        metavar="N",
        help="stream N samples, shared equally between the sessions (default: by recording)",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="end the stream after S seconds (default: 140, with --short 30)",
    )
    parser.add_argument(
        "--short", action="store_true", help="a few hundred samples, to see that it works"
    )


def run(parsed: argparse.Namespace) -> int:
    """Runs the demo.

    Returns:
        0 when the stream was learned to its end, 1 on a failure, 130 after Ctrl-C.
    """
    # Its packages come with the extra "demo", which a service alone does without.
    try:
        from service.demo.run import run_demo
    except ModuleNotFoundError as error:
        print(
            f"scatonline: the demo needs the package {error.name!r}: "
            "pip install 'scatonline[demo]'",
            file=sys.stderr,
        )
        return 1
    try:
        return run_demo(parsed.data, parsed.out, parsed.samples, parsed.seconds, short=parsed.short)
    except ServiceError as error:
        print(f"scatonline: {error}", file=sys.stderr)
        return 1


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a time above 0")
    return value
