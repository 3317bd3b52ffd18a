"""JSON tasks from RabbitMQ become HTTP requests: on time, with retries and roll-back."""

__version__ = "0.1.0"
