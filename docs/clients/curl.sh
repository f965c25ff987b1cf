#!/usr/bin/env bash
# Sends articles to Newsflow's gateway, JSON lines on standard input: curl.
# Prints the article ids when everything was accepted; else the reason goes to standard error, exit status 1.
seconds=$((${DELIVERY_TIMEOUT_MS:-60000} / 1000))
answer=$(mktemp) && trap 'rm -f "$answer"' EXIT || exit 1

# 429 and 503 are tried again after the time that the answer names, and so is a gateway that just starts.
# The key comes from a file descriptor: on the command line every user of the machine could read it.
curl --silent --show-error --fail-with-body --output "$answer" \
  --max-time "$seconds" --retry 10 --retry-max-time "$seconds" --retry-connrefused \
  -H 'content-type: application/x-ndjson' -H @<(printf 'authorization: Bearer %s' "${GATEWAY_API_KEY-}") \
  --data-binary @- "${GATEWAY_URL:?}/v1/articles" || {
  cat "$answer" >&2
  exit 1
}
cat "$answer"
