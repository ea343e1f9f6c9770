"""Every error the library raises on purpose.

::

    ScatOnlineError
    ├── ConfigError         a specification is out of range or contradicts itself
    ├── ShapeError          an array has the wrong shape, type or size
    ├── NumericalError      a number is not finite, or a bound does not hold
    ├── StateVersionError   a saved state is of another format or another specification
    ├── UnknownName         no session, sample or filter of that name
    └── DuplicateName       that session or sample exists already

Messages say what was expected, what came and what to do. An operation that raises one of these has
changed nothing.
"""


class ScatOnlineError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(ScatOnlineError):
    """A specification is out of range or contradicts itself."""


class ShapeError(ScatOnlineError):
    """An array has the wrong shape, type or size."""


class NumericalError(ScatOnlineError):
    """A number is not finite where it must be, or a numerical bound does not hold."""


class StateVersionError(ScatOnlineError):
    """A saved state has another format version or belongs to another specification."""


class UnknownName(ScatOnlineError):
    """No session, sample or filter has that name."""


class DuplicateName(ScatOnlineError):
    """A session or sample of that name exists already."""
