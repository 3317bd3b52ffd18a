"""Takes what killed its processes too often, and parks it to be tried once more, alone."""

import asyncio
from collections.abc import Mapping
from uuid import uuid4

import msgspec

from webhook_runner.broker.channel import Arrival, Channel, LostError, Outgoing
from webhook_runner.broker.message import ALONE, DUE, QUEUE, moved, own_headers, task_message
from webhook_runner.broker.session import Session
from webhook_runner.broker.topology import slot_key
from webhook_runner.broker.wheel import WheelDriver
from webhook_runner.policy.delay import Wheel
from webhook_runner.task.model import Envelope, HeaderValue, Task
from webhook_runner.task.progress import due_milliseconds
