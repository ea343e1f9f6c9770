"""The log: one line per thing that happened, on standard error."""

import logging
import sys
from typing import Literal

import structlog


def configure_log(level: str, line_format: Literal["console", "json"]) -> None:
    """Sets up structlog for the whole process.

    Args:
        level: Least level that is written, for example "info".
        line_format: `console` for people, `json` for machines.
    """
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if line_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if line_format == "json" else []),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
