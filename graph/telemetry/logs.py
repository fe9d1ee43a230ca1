"""Which run a line of the log is about, and in which trace that is."""

import logging

from graph.queue.executor import CURRENT
from graph.record.trace import trace_id_of
from graph.runs.live import LiveRun


class AboutRuns(logging.Filter):
    """Adds `run_id` and `trace_id` to every line that is logged while a run is executed.

    Also to those of its tools, models and threads; what a line says itself stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Called by the handler; always true."""
        job = CURRENT.get(None)
        if isinstance(job, LiveRun) and getattr(record, "run_id", job.run_id) == job.run_id:
            record.run_id = job.run_id
            if not hasattr(record, "trace_id") and (state := job.seen):
                record.trace_id = trace_id_of(state)
        return True
