"""The graph for LangGraph Studio: the one module that builds something when it is imported.

It has no checkpointer and no store, since the server that loads it brings its own.
"""

from graph.build import build_graph
from graph.compose import open_tools
from graph.models.ladder import make_ladder
from graph.record.events import next_event
from graph.settings import read_settings
from nodes.approval.in_doubt import DoubtGate
from tools.threads import ToolThreads

_settings = read_settings()

graph = build_graph(
    open_tools(_settings),
    limits=_settings.limits,
    threads=ToolThreads(_settings.tool_threads),
    ladder=make_ladder(_settings),
    approve=_settings.approve,
    approval_expires=_settings.approval_expires,
    doubts=DoubtGate(_settings.in_doubt, _settings.approval_expires, next_event),
    tool_errors=_settings.tool_errors_told,
    max_kept=_settings.max_kept,
    thread_context=_settings.thread_context,
)
