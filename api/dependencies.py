"""What the application gives to its calls."""

from typing import Annotated

from fastapi import Depends, Request

from graph.runs import Runs


async def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


RunsDep = Annotated[Runs, Depends(_runs)]
