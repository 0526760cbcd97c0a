curl -sS --fail-with-body "{{ base_url }}/usage" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN"
