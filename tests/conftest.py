"""What all tests share: repeatable settings, and the recordings outside the repository."""

import os
from collections.abc import Callable
from pathlib import Path

# Before torch is imported, here and in the servers that tests start: the workers of a parallel run
# share the cores, and one thread each is faster than several that wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Figures are written to files; no test may need a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Repeatable: the same examples in every run. No deadline: cores are shared.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recordings that are too large for the repository; skips the test without it."""
    named = os.environ.get("RECORDINGS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; RECORDINGS can name another folder")
    return folder


@pytest.fixture(scope="session")
def shared_recording(shared_data: Path) -> Callable[[str], Path]:
    """Find one recording by its file name, such as ``"v4_we_days1to3.npz"``; skips without it."""

    def find(name: str) -> Path:
        path = shared_data / name
        if not path.is_file():
            pytest.skip(f"no recording {name} in {shared_data}")
        return path

    return find
