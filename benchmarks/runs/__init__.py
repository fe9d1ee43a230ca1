"""What a run costs: time and CPU, beside LangGraph alone."""
