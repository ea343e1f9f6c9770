"""Where a model without a checkpoint of its own starts: from what `scatonline fit` made."""

from pathlib import Path

from service.errors import SettingsError
from service.storage.checkpoints import Checkpoint, CheckpointStore, read


def starting_point(model: str, folder: Path) -> Checkpoint:
    """The newest checkpoint in a folder that another process wrote.

    Args:
        model: Name of the model, for messages.
        folder: As `scatonline fit --out` names it.

    Raises:
        SettingsError: there is no such folder, or no checkpoint in it.
        CorruptRecord: the newest one is damaged.
        StorageError: it is of another format, or the folder cannot be read.
    """
    advice = "expected a folder that `scatonline fit --out` wrote"
    if not folder.is_dir():
        raise SettingsError(f"start.{model}: got {folder}, which is no folder, {advice}")
    paths = CheckpointStore(folder, keep=1).paths()
    if not paths:
        raise SettingsError(f"start.{model}: got {folder}, which holds no checkpoint, {advice}")
    return read(paths[0])
