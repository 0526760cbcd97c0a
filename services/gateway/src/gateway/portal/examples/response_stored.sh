first=$(curl -sS --fail-with-body "{{ base_url }}/responses" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "input": "Say hello."}')
id=$(grep -o 'resp_[0-9a-f]*' <<< "$first" | head -n 1)

curl -sS --fail-with-body "{{ base_url }}/responses/$id" -H "Authorization: Bearer $SMARTROUTE_TOKEN"
curl -sS --fail-with-body "{{ base_url }}/responses/$id/input_items" -H "Authorization: Bearer $SMARTROUTE_TOKEN"
curl -sS --fail-with-body -X DELETE "{{ base_url }}/responses/$id" -H "Authorization: Bearer $SMARTROUTE_TOKEN"
