curl -sS --fail-with-body "{{ base_url }}/responses" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "instructions": "Be brief.", "input": "Say hello."}'
