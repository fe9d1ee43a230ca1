"""What attached MCP servers cost: at a start, in each call, and in memory."""
