"""An MCP server on standard input and output with one tool: what a user of Codex plugs in."""

from mcp.server import MCPServer


def look_up(word: str) -> str:
    """Look a word up in the notes."""
    return f"{word} means forty-two"


server = MCPServer("notes")
server.add_tool(look_up)
server.run("stdio")
