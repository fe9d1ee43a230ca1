"""The names of OpenTelemetry's conventions for generative AI that our spans use.

All of them are in development there and have been renamed before, so that they stand here alone:
github.com/open-telemetry/semantic-conventions-genai, v0.1.0.
"""

OPERATION = "gen_ai.operation.name"
AGENT = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
ERROR = "error.type"

#: What viewers of another convention (OpenInference) tell kinds of spans by.
VIEWER_KIND = "openinference.span.kind"

#: A call of an MCP server, as its own conventions name it.
MCP_METHOD, TOOLS_CALL = "mcp.method.name", "tools/call"

#: The operations that there are, and how spans of each are named.
INVOKE_AGENT, CHAT, EXECUTE_TOOL, PLAN = "invoke_agent", "chat", "execute_tool", "plan"
