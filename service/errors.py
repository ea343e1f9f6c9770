"""Every error the service raises on purpose, beside the library's own.

::

    ServiceError
    ├── InvalidRequest      a message cannot be read as what it claims to be
    ├── UnknownModel        no model of that name is served
    ├── UnknownCheckpoint   a model has no checkpoint of that event
    ├── NotReady            the model cannot do this yet, or is doing it already
    ├── Overloaded          too much is under way for now
    ├── OverLimit           more than the settings allow, however often it is sent
    ├── Unavailable         the service is stopping
    ├── CheckLost           the process of structure checks ended in the middle of one
    ├── SettingsError       a settings file, key or environment variable is wrong
    └── StorageError        a folder cannot be used
        ├── CorruptRecord   a stored record does not match its checksum
        ├── StorageFull     the disk takes nothing more for now
        └── StorageBroken   the disk failed while it made sure of what was written

Messages say what was expected, what came and what to do. `service.rpc.status` holds the one table
from errors to gRPC codes.
"""


class ServiceError(Exception):
    """Root of all errors that the service raises on purpose."""


class InvalidRequest(ServiceError):
    """A message cannot be read as what it claims to be."""


class UnknownModel(ServiceError):
    """No model of that name is served."""


class UnknownCheckpoint(ServiceError):
    """A model has no checkpoint of that event."""


class NotReady(ServiceError):
    """The model cannot do this yet, or is doing it already."""


class Overloaded(ServiceError):
    """Too much is under way for now; it goes down by itself."""


class OverLimit(ServiceError):
    """More than the settings allow; waiting does not help."""


class Unavailable(ServiceError):
    """The service is stopping and takes nothing new."""


class CheckLost(ServiceError):
    """The process of structure checks ended in the middle of one; a new one runs the next."""


class SettingsError(ServiceError):
    """A settings file, a key in it or an environment variable is wrong."""


class StorageError(ServiceError):
    """A folder cannot be used for storage."""


class CorruptRecord(StorageError):
    """A stored record does not match its checksum or cannot be read."""


class StorageFull(StorageError):
    """The disk takes nothing more for now; what was to be stored was not, and can be sent again."""


class StorageBroken(StorageError):
    """The disk failed while it made sure of what was written: nobody knows what it holds."""
