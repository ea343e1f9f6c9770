"""Generates `service/_generated/` from the protos, or checks that it is in step with them.

python protos/generate.py            write the generated code
python protos/generate.py --check    exit 1 if the committed code differs from what would be written
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

PROTOS = Path(__file__).resolve().parent
TARGET = PROTOS.parent / "service" / "_generated"
PROTO = "scatonline/v1/scatonline.proto"
PACKAGE = "service._generated"


def generate() -> dict[str, str]:
    """Returns the generated files, name → text.

    protoc derives Python imports from the proto's path, and `scatonline.v1` would be looked up in
    the computation package of that name. The proto keeps its canonical path (reflection and other
    languages see it), so the imports are rewritten instead.

    Raises:
        RuntimeError: protoc refuses the protos; it has printed why.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "protoc",
            f"-I{PROTOS}",
            f"-I{files('grpc_tools') / '_proto'}",
            *(
                f"--{plugin}_out={folder}"
                for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")
            ),
            PROTO,
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc failed on {PROTO}")
        written = (Path(folder) / PROTO).parent
        return {
            path.name: path.read_text()
            .replace("from scatonline.v1 import", f"from {PACKAGE} import")
            .replace("scatonline.v1.scatonline_pb2", f"{PACKAGE}.scatonline_pb2")
            for path in sorted(written.iterdir())
        }


def out_of_step(generated: dict[str, str]) -> list[str]:
    """Names of files that are missing, differ, or have no proto behind them any more."""
    present = {path.name: path.read_text() for path in TARGET.glob("scatonline_pb2*")}
    return sorted(
        name
        for name in present.keys() | generated.keys()
        if present.get(name) != generated.get(name)
    )


def main() -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    check = parser.parse_args().check
    generated = generate()
    stale = out_of_step(generated)
    if check:
        if stale:
            print(
                f"{', '.join(stale)} not in step with {PROTO}: run python protos/generate.py",
                file=sys.stderr,
            )
        return 1 if stale else 0
    for name in stale:
        if name in generated:
            (TARGET / name).write_text(generated[name])
        else:
            (TARGET / name).unlink()
        print(f"{name} {'written' if name in generated else 'removed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
