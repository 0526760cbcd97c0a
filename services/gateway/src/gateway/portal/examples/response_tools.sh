url="{{ base_url }}/responses"
tools='[{"type": "function", "name": "get_weather", "parameters": {
  "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]'

# The first request costs one prompt. The model asks for a tool.
first=$(curl -sS --fail-with-body "$url" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "input": "How is the weather in Lisbon?", "tools": '"$tools"'}')
response=$(grep -o 'resp_[0-9a-f]*' <<< "$first" | head -n 1)
call=$(grep -o 'call_[A-Za-z0-9_-]\{35\}' <<< "$first" | head -n 1)

# The second one sends nothing but the result: it costs nothing.
curl -sS --fail-with-body "$url" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "previous_response_id": "'"$response"'", "tools": '"$tools"', "input": [
    {"type": "function_call_output", "call_id": "'"$call"'", "output": "21 degrees, sunny"}]}'
