"""Instruments of the entrance: who was turned away, and what keeps it locked."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.shelf import PREFIX

REASONS = ("missing", "malformed", "unknown", "expired", "forbidden")
FILES = ("tokens", "certificates")


class EntranceInstruments:
    """Counts of refused calls and files, every series present from the start.

    Args:
        registry: Where they are registered.

    Attributes:
        certificate_expiry: When the certificate in use expires, Unix time.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        failures = Counter(
            f"{PREFIX}auth_failures",
            "Calls turned away since the process started.",
            ("reason",),
            registry=registry,
        )
        refused = Counter(
            f"{PREFIX}security_files_refused",
            "Changed files of tokens or certificates that could not be used.",
            ("file",),
            registry=registry,
        )
        self._failures = {reason: failures.labels(reason) for reason in REASONS}
        self._refused = {file: refused.labels(file) for file in FILES}
        self.certificate_expiry = Gauge(
            f"{PREFIX}certificate_expiry_timestamp_seconds",
            "When the certificate in use expires, Unix time; 0 without TLS.",
            registry=registry,
        )

    def count_failure(self, reason: str) -> None:
        """Counts a call that was turned away for one of `REASONS`."""
        self._failures[reason].inc()

    def count_refused_file(self, file: str) -> None:
        """Counts a change of one of `FILES` that could not be taken over."""
        self._refused[file].inc()
