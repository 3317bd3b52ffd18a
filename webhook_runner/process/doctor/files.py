"""The files of a daemon without RabbitMQ: whether they are sound, and have room to grow."""

from webhook_runner.broker.sqlite.examine import Examined, examine
from webhook_runner.process.doctor.check import Check, note, ok, problem, warning

_LITTLE_ROOM = 104_857_600
_SOME_ROOM = 1_073_741_824
_MEBIBYTE = 1_048_576


def check_queue_file(path: str) -> list[Check]:
    """Look at the queue file of the embedded broker and at its disk."""
    return judge_queue_file(path, examine(path))


def judge_queue_file(path: str, seen: Examined) -> list[Check]:
    area = "queue file"
    if seen.problem:
        remedy = f"stop the daemon, keep a copy, `webhook-runner salvage {path} NEW_FILE`"
        return [
            problem(area, f"{path}: {seen.problem}", remedy if "damaged" in seen.problem else "")
        ]
    if not seen.exists:
        found = [ok(area, f"{path} is made at the first start")]
    elif seen.owner:
        found = [ok(area, f"{path}: process {seen.owner} has it; its content was not looked at")]
    elif seen.unchecked:
        found = [note(area, f"{path}: not looked at: {seen.unchecked}")]
    else:
        found = [ok(area, f"{path} is sound; {seen.waiting} tasks wait in it")]
    if seen.dead or seen.invalid:
        text = f"{path} keeps {seen.dead} dead and {seen.invalid} invalid messages"
        found.append(note(area, text, "`webhook-runner dead list`, `webhook-runner invalid list`"))
    if seen.free_bytes:
        found.append(judge_room(path, seen.free_bytes))
    return found


def judge_room(path: str, free: int) -> Check:
    text = f"{free // _MEBIBYTE} MiB free on the disk of {path}"
    if free < _LITTLE_ROOM:
        return problem("disk", text, "make room: on a full disk no task is taken")
    return (
        warning("disk", text, "make room before it is full")
        if free < _SOME_ROOM
        else ok("disk", text)
    )
