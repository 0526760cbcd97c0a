id=$(curl -sS --fail-with-body --dump-header - --output /dev/null "{{ base_url }}/chat/completions" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"model": "smart-route", "messages": [{"role": "user", "content": "Say hello."}]}' |
  tr -d '\r' | sed -n 's/^x-request-id: //p')

curl -sS --fail-with-body "{{ base_url }}/receipts/$id" \
  -H "Authorization: Bearer $SMARTROUTE_TOKEN"
