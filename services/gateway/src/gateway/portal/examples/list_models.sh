curl -sS --fail-with-body "{{ base_url }}/models" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN"
