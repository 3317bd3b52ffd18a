"""Gauges of what others keep, read each time the page of metrics is asked for."""

SCHEDULED = "scheduled", "Tasks that wait for their time, as of a moment ago."
LOOP_TASKS = "event_loop_tasks", "Tasks of asyncio that are alive: what the daemon has in hand."
WATCHED = SCHEDULED, LOOP_TASKS
