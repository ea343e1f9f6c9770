"""How the demo fails."""

from service.errors import ServiceError


class DemoError(ServiceError):
    """The service could not be started, died, or refused a sample."""
