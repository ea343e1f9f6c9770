"""The checkpoint that a fit writes, and settings to serve it with."""

import json
from pathlib import Path

import yaml

from scatonline.model import Model
from service.errors import SettingsError, StorageError
from service.storage.checkpoints import Checkpoint, CheckpointStore, now_s

SETTINGS = "settings.yaml"


def prepare_folder(folder: Path) -> None:
    """Makes the folder, before hours are spent on what cannot be written to it.

    Raises:
        SettingsError: it exists and holds something.
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
    except OSError as error:
        raise StorageError(f"--out {folder}: cannot be used: {error.strerror}") from error
    if full:
        raise SettingsError(f"--out {folder}: is not empty, expected a new or an empty folder")


def write_checkpoint(folder: Path, model: Model) -> Path:
    """Writes the model's state and the settings to serve it with.

    Returns:
        The settings file.

    Raises:
        StorageError: the disk refuses.
    """
    tensors, meta = model.state()
    checkpoint = Checkpoint(
        event=model.event,
        spec=model.spec.to_dict(),
        tensors={
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        },
        meta=meta,
        written_s=now_s(),
    )
    CheckpointStore(folder, keep=1).save(checkpoint)
    settings = folder / SETTINGS
    # Through JSON, which makes lists of tuples.
    spec = json.loads(json.dumps(model.spec.to_dict()))
    content = {"models": [spec], "start": {model.spec.name: str(folder.resolve())}}
    try:
        settings.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{settings}: cannot be written: {error.strerror}") from error
    return settings
