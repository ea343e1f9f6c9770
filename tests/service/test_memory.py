"""What the process asks of its memory."""

import ctypes
import subprocess
import sys

import pytest

# glibc tells of its arenas in XML, a heap each.
ARENAS = """
import ctypes, sys, threading
from service.memory import settle
if sys.argv[1] == "settled":
    settle()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = ctypes.c_void_p
everyone = threading.Barrier(6)
def work():
    everyone.wait()
    libc.malloc(ctypes.c_size_t(100_000))
    everyone.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
out = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


def arenas(how: str, path: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ARENAS, how, path],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="arenas are those of glibc"
)
def test_threads_share_two_arenas(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Left alone, threads that allocate at the same time get one each."""
    path = str(tmp_path_factory.mktemp("arenas") / "told.xml")
    assert arenas("settled", path) == 2
    assert arenas("left alone", path) > 2
