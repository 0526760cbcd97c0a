curl -sS --fail-with-body --dump-header - --output /dev/null "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "messages": [{"role": "user", "content": "Say hello."}]}' |
  grep -i -E '^x-(request-id|ratelimit|smartroute)'
