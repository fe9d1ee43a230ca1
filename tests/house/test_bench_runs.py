"""What a run's cost is compared with does what it stands for."""

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from benchmarks.runs.frozen import frozen_graph
from benchmarks.runs.minimal import minimal_graph
from benchmarks.runs.prompt import PROMPT

THREAD = {"configurable": {"thread_id": "1"}}

#: The input, its checkpoint, and four nodes of which one is visited twice.
CHECKPOINTS = 7


async def test_the_frozen_graph_plans_and_executes_as_it_did():
    saver = InMemorySaver()
    graph = frozen_graph(saver, InMemoryStore())
    state = await graph.ainvoke({"prompt": PROMPT, "owner": "ada"}, THREAD)
    assert state["status"] == "completed"
    tools = [step["tool"] for step in state["plan"]["steps"]]
    assert tools == ["todo_store.add", "todo_store.list"]
    assert [todo["text"] for todo in state["result"]["output"]] == ["buy milk"]
    assert len([*saver.list(THREAD)]) == CHECKPOINTS


async def test_the_minimal_graph_takes_the_same_super_steps():
    saver = InMemorySaver()
    state = await minimal_graph(saver).ainvoke({"prompt": PROMPT}, THREAD)
    assert state["run"]["status"] == "completed"
    assert len([*saver.list(THREAD)]) == CHECKPOINTS
