"""What the process asks of its memory before it serves."""

import ctypes
import gc

# mallopt's name for it, malloc.h of glibc.
_M_ARENA_MAX = -8
# The main thread's, and one for all others.
_ARENAS = 2
# Objects, more than were freed, after which new ones are looked through; Python's own is 700.
_YOUNG = 10_000


def settle() -> None:
    """Keeps memory and pauses from creeping up over days; once, before threads are started.

    What was imported stays. Looking through it for garbage, again and again, would hold all threads
    up for a tenth of a second, and be put off until much garbage is there. What is new is looked
    through once some hundreds of requests have left it, not after every few.

    Threads come and go with checkpoints, checks and models, and glibc gives them arenas in turn, up
    to eight a processor. Each keeps what its threads have freed, and a state that was copied in one
    is freed in another; so memory in use would grow for as long as arenas fill with holes. Another
    C library has no such arenas, and nothing to be told.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG)
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is not None:
        tell(_M_ARENA_MAX, _ARENAS)
