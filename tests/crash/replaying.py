"""A journal replayed in a process of its own, from each checkpoint that there is."""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

Hashes = dict[int, str]
Witness = tuple[int, str]
_CONTEXT = multiprocessing.get_context("forkserver")


def replayed(folder: Path, events: Iterable[int]) -> list[tuple[Hashes, Witness]]:
    """Hash of a model at event numbers and at its end, for each checkpoint to begin from.

    Args:
        folder: Folder of the model; its service must not be running.
        events: Event numbers; those before a checkpoint are left out of its replay.
    """
    # A pool of `multiprocessing` waits for ever for a process that has died.
    with ProcessPoolExecutor(1, mp_context=_CONTEXT) as pool:
        return pool.submit(_replay, folder, frozenset(events)).result()


def _replay(folder: Path, events: frozenset[int]) -> list[tuple[Hashes, Witness]]:
    from scatonline.config import ModelSpec
    from service.engine.events import decode
    from service.engine.recovery import apply_again
    from service.engine.served import Served, ServedLimits
    from service.storage.checkpoints import CheckpointStore, read
    from service.storage.journal import Journal

    journal = Journal(folder / "journal")
    found: list[tuple[Hashes, Witness]] = []
    for path in CheckpointStore(folder, keep=100).paths():
        checkpoint = read(path)
        spec = ModelSpec.from_dict(checkpoint.spec)
        served = Served.restore(spec, checkpoint, ServedLimits(), "cpu")
        hashes: Hashes = {}
        for record in journal.replay(checkpoint.position):
            apply_again(served, decode(record.body))
            if served.model.event in events:
                hashes[served.model.event] = served.model.state_hash()
        found.append((hashes, (served.model.event, served.model.state_hash())))
    journal.close()
    return found
