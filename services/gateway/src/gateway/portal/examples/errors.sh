curl -sS "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "no-such-model", "messages": [{"role": "user", "content": "Say hello."}]}'
