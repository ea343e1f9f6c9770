"""The command line: `scatonline serve`, `fit`, `demo`, `filters`, `token` and `version`."""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from service import demo, filters, fit, token_command
from service.errors import ServiceError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name; None: those of the process.

    Returns:
        Exit status: 0 done, 1 failed or refused; argparse itself exits with 2.
    """
    # Read when torch is loaded. Threads that share an operation wait for each other asleep: where
    # other programs want the processors, too, spinning ones keep them from the thread that is
    # waited for, and a step takes seconds now and then.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parsed = _parser().parse_args(arguments)
    status: int = parsed.run(parsed)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scatonline", description="A learnable scattering transform that keeps adapting."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="serve models until stopped")
    serve.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="settings, YAML or TOML"
    )
    serve.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write the ports there once ready, as JSON"
    )
    serve.set_defaults(run=_serve)

    make = commands.add_parser("fit", help="fit a model to a recording, to serve from there")
    fit.add_arguments(make)
    make.set_defaults(run=fit.run)

    show = commands.add_parser("demo", help="stream a recording to a service and show the result")
    demo.add_arguments(show)
    show.set_defaults(run=demo.run)

    draw = commands.add_parser("filters", help="draw the filters of a wavelet family")
    filters.add_arguments(draw)
    draw.set_defaults(run=filters.run)

    issue = commands.add_parser("token", help="make a token that calls of the service may carry")
    token_command.add_arguments(issue)
    issue.set_defaults(run=token_command.run)

    commands.add_parser("version", help="print the version").set_defaults(run=_version)
    return parser


def _serve(parsed: argparse.Namespace) -> int:
    # Imported here: torch takes seconds, and help or a refused setting need not wait for it.
    from scatonline.errors import ScatOnlineError
    from service.settings import load

    try:
        settings = load(parsed.config)
        import uvloop

        from service.app import serve
        from service.telemetry import configure_log

        configure_log(settings.log.level, settings.log.format)
        status = uvloop.run(serve(settings, parsed.ready_file))
    except (ServiceError, ScatOnlineError) as error:
        print(f"scatonline: {error}", file=sys.stderr)
        return 1
    if any(thread.daemon and thread.name.startswith("check-") for thread in threading.enumerate()):
        # A structure check is still computing. Everything is saved and closed; leaving the normal
        # way would end its thread inside torch's native code, which aborts the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _version(_: argparse.Namespace) -> int:
    from importlib.metadata import version

    print(f"scatonline {version('scatonline')}")
    return 0
