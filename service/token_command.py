"""`scatonline token`: makes a token, and the entry that the file of tokens needs."""

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from service.security import tokens
from service.security.roles import Role

_DAYS = (1, 3650)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--name", required=True, help="whose token it is, such as rig-1")
    parser.add_argument(
        "--role",
        required=True,
        choices=[role.value for role in Role],
        help="what its holder may do; each role may do what those before it may",
    )
    parser.add_argument(
        "--days", type=int, metavar="N", help="days for which it holds (default: for good)"
    )


def run(parsed: argparse.Namespace) -> int:
    """Prints the entry to standard output and the token, which is kept nowhere, to standard error.

    Returns:
        Exit status: 0 done, 1 refused.
    """
    refused = _refused(parsed.name, parsed.days)
    if refused is not None:
        print(f"scatonline: {refused}", file=sys.stderr)
        return 1
    token = tokens.make()
    entry: dict[str, Any] = {
        "name": parsed.name,
        "role": parsed.role,
        "sha256": tokens.digest(token),
    }
    if parsed.days is not None:
        ends = datetime.now(UTC) + timedelta(days=parsed.days)
        entry["expires"] = ends.replace(microsecond=0)
    print(f"The token, shown only now: {token}", file=sys.stderr)
    print(f"The entry for the file that {tokens.KEY} names:", file=sys.stderr, flush=True)
    print(yaml.safe_dump([entry], sort_keys=False), end="")
    return 0


def _refused(name: str, days: int | None) -> str | None:
    if not re.fullmatch(tokens.NAME, name):
        return f"--name: got {name!r}, expected {tokens.NAME}"
    if days is not None and not _DAYS[0] <= days <= _DAYS[1]:
        return f"--days: got {days}, expected {_DAYS[0]} to {_DAYS[1]}"
    return None
