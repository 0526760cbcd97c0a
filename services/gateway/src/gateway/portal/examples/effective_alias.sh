curl -sS --fail-with-body "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "smart-route-infinite",
    "messages": [{"role": "user", "content": "Say hello."}]
  }' | grep -o '"model":"[^"]*"'
