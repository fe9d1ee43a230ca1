"""The door for notebooks and scripts: the runs of a server, without the server."""

from graph.workbench.workbench import Conversation, Run, Workbench, WorkbenchClosed, open_workbench

__all__ = ["Conversation", "Run", "Workbench", "WorkbenchClosed", "open_workbench"]
