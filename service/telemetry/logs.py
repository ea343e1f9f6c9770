"""The log: one line per thing that happened, on standard error."""

import logging
import sys
from typing import Literal

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor


def configure_log(level: str, line_format: Literal["console", "json"]) -> None:
    """Sets up structlog for the whole process, and sends what libraries log the same way.

    What is bound by :func:`structlog.contextvars.bound_contextvars` stands on every line of that
    thread or task: the model, the session, the sample.

    Args:
        level: Least level that is written, for example "info"; of libraries, warnings and above.
        line_format: `console` for people, `json` for machines.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if line_format == "json" else []),
    ]
    render: Processor = (
        structlog.processors.JSONRenderer()
        if line_format == "json"
        # The default writes the values of variables, which may be tokens or a lab's recordings.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*common, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
            processors=[ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)
