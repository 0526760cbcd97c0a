first=$(curl -sS --fail-with-body "{{ base_url }}/responses" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "input": "Say hello."}')
id=$(grep -o 'resp_[0-9a-f]*' <<< "$first" | head -n 1)

curl -sS --fail-with-body "{{ base_url }}/responses" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "previous_response_id": "'"$id"'", "input": "And in French?"}'
