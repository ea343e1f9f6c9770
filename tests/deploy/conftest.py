"""The folder under test, and promtool."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def deploy(repository: Path) -> Path:
    """The folder deploy/."""
    return repository / "deploy"


@pytest.fixture(scope="session")
def promtool() -> Callable[..., None]:
    """Run promtool and fail with what it says; skips the test where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: CONTRIBUTING.md says how to get it")

    def run(*arguments: str | Path) -> None:
        result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    return run
