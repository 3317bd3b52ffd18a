"""Between AMQP messages and what daemons tell each other: notices, marks among them, words."""

from dataclasses import dataclass

from webhook_runner.broker.amqp.channel import Arrival, Outgoing
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.task.notice import Notice

_KIND = "wr-board"
_KEY = "wr-key"
_AT = "wr-at"
_SENDER = "wr-sender"
_NUMBER = "wr-number"
_NOTICE, _MARK, _WORD = "notice", "mark", "word"
WORDS = _WORD
"""The routing key by which words reach everybody."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Lies in the stream behind all that ``sender`` had posted; its marks are numbered from 1."""

    sender: str
    number: int


@dataclass(frozen=True, slots=True)
class Word:
    """What a sender says to everybody who has read as far as the mark ``after``; 0 is none."""

    after: Mark
    text: bytes


def notice_message(notice: Notice, topology: Topology) -> Outgoing:
    headers: dict[str, object] = {_KIND: _NOTICE, _KEY: notice.key, _AT: repr(notice.at)}
    return _out(topology, topology.tombstones, headers, notice.word)


def mark_message(mark: Mark, topology: Topology) -> Outgoing:
    headers = {_KIND: _MARK, _SENDER: mark.sender, _NUMBER: mark.number}
    return _out(topology, topology.tombstones, headers, b"")


def word_message(word: Word, topology: Topology) -> Outgoing:
    headers = {_KIND: _WORD, _SENDER: word.after.sender, _NUMBER: word.after.number}
    return _out(topology, WORDS, headers, word.text)


def kept_of(arrival: Arrival) -> Notice | Mark | None:
    """Read a message of the stream; None when it is none of ours."""
    headers = arrival.headers
    kind, key, at = headers.get(_KIND), headers.get(_KEY), headers.get(_AT)
    if kind == _MARK:
        return _mark(arrival)
    if kind != _NOTICE or not isinstance(key, str) or not isinstance(at, str):
        return None
    try:
        return Notice(key, float(at), arrival.body)
    except ValueError:
        return None


def word_of(arrival: Arrival) -> Word | None:
    """Read a message of the control queue; None when it is none of ours."""
    after = _mark(arrival) if arrival.headers.get(_KIND) == _WORD else None
    return None if after is None else Word(after, arrival.body)


def _mark(arrival: Arrival) -> Mark | None:
    sender, number = arrival.headers.get(_SENDER), arrival.headers.get(_NUMBER)
    if isinstance(sender, str) and isinstance(number, int):
        return Mark(sender, number)
    return None


def _out(topology: Topology, key: str, headers: dict[str, object], body: bytes) -> Outgoing:
    return Outgoing(topology.control, key, body, headers, in_order=True)
