"""What somebody is told who starts without a configuration: where tasks go, how to try, go on."""

from dataclasses import dataclass

from webhook_runner.config.loader import Loaded


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The facts of a daemon that runs on defaults alone.

    Attributes:
        queue_file: where the embedded broker keeps the tasks.
        state_file: where is kept what became of them; "" when no file of one's own has it.
        tasks: the URL that takes tasks; "" when the HTTP API is off or takes any free port.
        trial: a command that hands in a task which succeeds; "" without ``tasks``.
        onward: commands that lead to a configuration of one's own.

    """

    queue_file: str
    state_file: str
    tasks: str
    trial: str
    onward: str

    def text(self) -> str:
        """Return the same for people: a few lines, the commands ready to copy."""
        lines = [
            "No configuration file: every setting has its default, and the broker is embedded.",
            f"  tasks are kept in  {self.queue_file}",
        ]
        if self.state_file:
            lines.append(f"  what they came to  {self.state_file}")
        if self.tasks:
            lines += [
                f"  and come in at     {self.tasks}",
                "Try it from another terminal (the task calls the daemon itself):",
                f"  {self.trial}",
            ]
        lines += ["With RabbitMQ, or settings of your own:", f"  {self.onward}"]
        return "\n".join(lines)


def first_run(loaded: Loaded) -> FirstRun | None:
    """Return what to tell, or None when a file or a variable named the server."""
    if loaded.state is None:
        return None
    url = loaded.settings.api.url
    tasks = f"{url}/v1/tasks" if url else ""
    return FirstRun(
        queue_file=loaded.settings.queue_file,
        state_file=loaded.settings.state_file,
        tasks=tasks,
        trial=_trial(url, tasks) if url else "",
        onward="webhook-runner config example > taskqueue.ini"
        " && webhook-runner serve --config taskqueue.ini",
    )


def _trial(url: str, tasks: str) -> str:
    task = f'{{"url": "{url}/livez", "method": "GET"}}'
    return f"curl --header 'Content-Type: application/json' --data '{task}' {tasks}"
