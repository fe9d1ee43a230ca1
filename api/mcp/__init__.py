"""Our runs as an MCP server: one set of tools, at `/mcp` and over standard input and output.

Nothing of the SDK is loaded before somebody asks for it.

Others use `door.Door`, `door.PATH`, `stdio.serve_runs`, `stdio.Refused` and `stdio.serve_relayed`.
"""
