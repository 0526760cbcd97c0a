curl -sS --fail-with-body --no-buffer "{{ base_url }}/responses" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "input": "Say hello.", "stream": true}'
