"""What LangGraph's protocol costs over the runs themselves, and beside its development server."""
