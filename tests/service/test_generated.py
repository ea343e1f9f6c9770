"""The committed generated code is what the protos give."""

import subprocess
import sys
from pathlib import Path


def test_generated_code_is_in_step(repository: Path) -> None:
    script = repository / "protos" / "generate.py"
    checked = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
