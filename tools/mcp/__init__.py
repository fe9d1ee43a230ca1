"""Tools of MCP servers: which there are by the operator's file, a session with each, their tools.

Others use `sessions`.
"""
