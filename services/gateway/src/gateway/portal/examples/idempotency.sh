key=$(date +%s%N) # any text of your own, one for each request that must be charged at most once
for attempt in first second; do
  echo "$attempt"
  curl -sS --fail-with-body --dump-header - "{{ base_url }}/chat/completions" \
    -H "Authorization: Bearer $SMARTROUTE_TOKEN" \
    -H "Content-Type: application/json" \
    -H "Idempotency-Key: $key" \
    -d '{"model": "smart-route", "messages": [{"role": "user", "content": "Say hello."}]}'
  echo
done
