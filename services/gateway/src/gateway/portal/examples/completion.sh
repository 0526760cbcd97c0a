curl -sS --fail-with-body "{{ base_url }}/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "prompt": "Once upon a time", "max_tokens": 64}'
