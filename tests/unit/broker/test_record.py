"""What is written down of a task or a message is read again as it was."""

from hypothesis import given
from hypothesis import strategies as st

from webhook_runner.broker.sqlite.batch import AT_ONCE, Entry, Row
from webhook_runner.broker.sqlite.record import entry_of, entry_of_message, message_of
from webhook_runner.task.model import Envelope, Message, Task
from webhook_runner.task.progress import progress_headers

TASK = Task(id="t", queue="q", url="http://a.example", source=b'{"n": 1.0}')
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def read(entry: Entry) -> Message:
    return message_of(Row(1, entry.due, 0, entry.headers, entry.body, entry.properties))


@given(
    st.builds(
        Message,
        body=st.binary(),
        message_id=TEXT,
        timestamp=st.none() | st.floats(1, 1e11),
        content_type=TEXT,
        content_encoding=TEXT,
        correlation_id=TEXT,
        traceparent=TEXT,
    )
)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert read(entry_of_message("q", message)) == message


def test_headers_of_a_message_are_not_believed_from_an_application() -> None:
    entry = entry_of_message("q", Message(b"{}", {"wr-id": "forged"}))
    assert read(entry).headers == {}
    assert entry.due == AT_ONCE


def test_a_task_is_read_with_its_bytes_and_its_progress() -> None:
    envelope = Envelope(TASK, 1.0, 2.5, attempt=3, correlation_id="c", traceparent="00-a-b-01")
    entry = entry_of(envelope, 2500, {"wr-died": 7})
    message = read(entry)
    assert (entry.queue, entry.due, message.body) == ("q", 2500, TASK.source)
    assert message.headers == {**progress_headers(envelope), "wr-died": 7}
    assert (message.correlation_id, message.traceparent) == ("c", "00-a-b-01")


def test_a_task_without_a_trace_has_no_properties_to_keep() -> None:
    assert entry_of(Envelope(TASK, 1.0, 1.0), AT_ONCE).properties == ""
