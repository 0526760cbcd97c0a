curl -sS --fail-with-body "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "smart-route",
    "messages": [{"role": "user", "content": "The capital of Portugal, and its country."}],
    "response_format": {
      "type": "json_schema",
      "json_schema": {
        "name": "place",
        "strict": true,
        "schema": {
          "type": "object",
          "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
          "required": ["city", "country"],
          "additionalProperties": false
        }
      }
    }
  }'
