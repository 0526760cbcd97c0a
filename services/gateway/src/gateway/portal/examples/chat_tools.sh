url="{{ base_url }}/chat/completions"
tools='[{"type": "function", "function": {"name": "get_weather", "parameters": {
  "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]'
question='{"role": "user", "content": "How is the weather in Lisbon?"}'

# The first request costs one prompt. The model asks for a tool.
answer=$(curl -sS --fail-with-body "$url" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "messages": ['"$question"'], "tools": '"$tools"'}')
id=$(grep -o 'call_[A-Za-z0-9_-]*' <<< "$answer" | head -n 1)

# The second one sends the result under the same id: it costs nothing.
calls='[{"id": "'"$id"'", "type": "function",
  "function": {"name": "get_weather", "arguments": "{\"city\": \"Lisbon\"}"}}]'
curl -sS --fail-with-body "$url" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "tools": '"$tools"', "messages": ['"$question"',
    {"role": "assistant", "tool_calls": '"$calls"'},
    {"role": "tool", "tool_call_id": "'"$id"'", "content": "21 degrees, sunny"}]}'
