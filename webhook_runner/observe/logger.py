"""The logger: one structured line for each call, safe to read and safe to lose."""

import logging
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from webhook_runner.observe.hidden import hidden

with hidden("rich"):  # structlog would draw tracebacks with it, which our lines do not have: 3 MB
    import structlog

from webhook_runner.observe.line import Fields
from webhook_runner.observe.redact import Redaction, clean
from webhook_runner.observe.seldom import Seldom
from webhook_runner.observe.sink import Sink
from webhook_runner.settings import LogSettings

Logger = structlog.typing.FilteringBoundLogger
Rendered = Callable[[MutableMapping[str, Any]], str]

LIBRARIES = ("aio_pika", "aiormq", "uvicorn", "asyncio")


class _Stamp:
    """Puts time and level in front. The second's text is kept: it changes once in a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(
        self, _logger: object, level: str, fields: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        second, millisecond = divmod(int(time.time() * 1000), 1000)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        stamp = f"{self._text}.{millisecond:03d}Z"
        return {"timestamp": stamp, "level": level, "event": fields.pop("event", ""), **fields}


class _Render:
    """Makes the line; a JSON line is looked at piece by piece only if it shows a secret.

    The other forms escape in ways of their own, so their lines are always looked at that way.
    """

    def __init__(self, render: Rendered, redaction: Redaction) -> None:
        self._render = render
        self._redaction = redaction

    def __call__(self, _logger: object, _level: str, fields: MutableMapping[str, Any]) -> str:
        if self._render is _json:
            line = self._render(fields)
            if not self._redaction.shows_in(line):
                return line
        masked = {key: self._redaction.scrub(value) for key, value in fields.items()}
        return self._render(masked)


class _Library(logging.Handler):
    """Lets what the libraries say go the same way as our own lines, each thing once a minute.

    Any stranger can make the HTTP server warn of a malformed request, as often as he likes.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger
        self._seldom = Seldom(time.monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error_type = record.exc_info[0] if record.exc_info else None
            suppressed = self._seldom.suppressed((record.name, record.msg, error_type))
            if suppressed is None:
                return
            fields: Fields = {"logger": record.name, "text": clean(record.getMessage())}
            if suppressed:
                fields["suppressed"] = suppressed
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                fields["error"] = clean(f"{type(error).__name__}: {error}")
                frames = traceback.extract_tb(error.__traceback__)[-5:]
                fields["at"] = [f"{frame.filename}:{frame.lineno}" for frame in frames]
            self._logger.log(record.levelno, "library", **fields)
        except Exception:  # noqa: BLE001 - a bad log call of a library is no reason to stop
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        self._logger.warning("library", logger=record.name, text="a line that cannot be rendered")


class _SinkLogger:
    """What structlog calls at the end of its chain, whatever the level."""

    def __init__(self, sink: Sink) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = sink.write


def configure(
    log: LogSettings, stream: TextIO | Sink | None = None, redaction: Redaction | None = None
) -> Logger:
    """Return the logger for these settings, writing to ``stream`` (default: standard error).

    Give a ``Sink`` to see how many lines it lost.

    What ``aio_pika``, ``aiormq``, ``uvicorn`` and ``asyncio`` log at warning level and above
    comes out of it as ``library`` lines. A later call takes their place over.
    """
    sink = stream if isinstance(stream, Sink) else Sink(stream or sys.stderr)
    logger: Logger = structlog.wrap_logger(
        _SinkLogger(sink),
        processors=[
            _Stamp(),
            _Render(_renderer(log, is_terminal=sink.is_terminal), redaction or Redaction()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelName(log.level.upper())
        ),
        cache_logger_on_first_use=True,
    ).bind()
    _route_libraries(logger)
    return logger


def _renderer(log: LogSettings, *, is_terminal: bool) -> Rendered:
    form = log.format
    if form == "auto":
        form = "console" if is_terminal else "json"
    if form == "json":
        return _json
    if form == "logfmt":
        logfmt = structlog.processors.LogfmtRenderer(bool_as_flag=False)
        return lambda fields: logfmt(None, "", fields)
    console = structlog.dev.ConsoleRenderer(colors=is_terminal, pad_event_to=24)
    return lambda fields: console(None, "", fields)


_encoder = msgspec.json.Encoder(enc_hook=str)


def _json(fields: MutableMapping[str, Any]) -> str:
    try:
        return _encoder.encode(fields).decode()
    except (UnicodeEncodeError, msgspec.MsgspecError):
        # A lone surrogate cannot be encoded; showing it escaped beats losing the line.
        return _encoder.encode({key: ascii(value) for key, value in fields.items()}).decode()


def _route_libraries(logger: Logger) -> None:
    handler = _Library(logger)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = [old for old in library.handlers if not isinstance(old, _Library)]
        library.addHandler(handler)
        library.setLevel(logging.WARNING)
        library.propagate = False
