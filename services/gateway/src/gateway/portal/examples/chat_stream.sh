curl -sS --fail-with-body --no-buffer "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "smart-route",
    "messages": [{"role": "user", "content": "Say hello."}],
    "stream": true,
    "stream_options": {"include_usage": true}
  }'
