"""The user's own tools."""

from collections.abc import Iterator

from api.doctor.finding import Finding, fails, ok
from graph.build import build_graph
from graph.compose import open_tools
from graph.settings import Settings
from tools.loading import load
from tools.registry import InvalidTool

CHECK = "tools"

MEND = "mend it or take it out of RUNWRIGHT_TOOLS; modules are looked up from the working folder"


def check_tools(settings: Settings) -> Iterator[Finding]:
    """Load them as a server does."""
    broken = False
    for name in settings.tools:
        try:
            load(name)
        except InvalidTool as error:
            broken = True
            yield fails(CHECK, str(error), MEND)
    if broken:
        return
    try:
        tools = open_tools(settings)
        build_graph(tools)  # which reads their phrases
    except InvalidTool as error:
        yield fails(CHECK, str(error), MEND)
        return
    yield ok(CHECK, f"{len(tools)} tools, {len(settings.tools)} of them your own")
