#!/usr/bin/env bash
# Decide on approval requests of Greenlight from a shell. Needs curl and jq.
#
#   approve.sh list                              what waits for you
#   approve.sh show REQUEST                      one request, with what is missing
#   approve.sh approve REQUEST DIGEST [COMMENT]  for the bytes with this digest
#   approve.sh reject REQUEST DIGEST [COMMENT]
#   approve.sh check REQUEST DIGEST NAME true|false [COMMENT]
#
# GREENLIGHT_URL   https://models.example.org
# GREENLIGHT_TOKEN a token with the scope approvals:decide, or GREENLIGHT_TOKEN_FILE
set -euo pipefail

: "${GREENLIGHT_URL:?set it to the address of Greenlight}"
if [ -n "${GREENLIGHT_TOKEN_FILE:-}" ]; then
    GREENLIGHT_TOKEN=$(<"$GREENLIGHT_TOKEN_FILE")
fi
: "${GREENLIGHT_TOKEN:?issue one on your account page}"

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

# The token goes in by a file descriptor: an argument is seen by everybody on the host.
# A refusal is told in the words of Greenlight.
call() {
    local answer
    if ! answer=$(request "$@"); then
        jq --raw-output '.message' <<<"$answer" >&2
        return 1
    fi
    printf '%s' "$answer"
}

request() {
    curl --fail-with-body --silent --show-error --max-time 30 \
        --header @<(printf 'Authorization: Bearer %s' "$GREENLIGHT_TOKEN") \
        --header "Content-Type: application/json" \
        "$GREENLIGHT_URL/api/v1/$1" "${@:2}"
}

decide() {
    [ $# -ge 3 ] || usage
    jq --null-input --arg decision "$1" --arg digest "$3" --arg comment "${4:-}" \
        '{decision: $decision, digest: $digest, comment: $comment}' |
        call "approvals/$2/decisions" --data @- |
        jq --raw-output '.request | "\(.status): \(.model)@\(.alias) to version \(.version)",
            (.unmet[] | "  still missing: \(.)")'
}

case "${1:-}" in
list)
    call "approvals?assignee=me" |
        jq --raw-output '.approvals[] |
            "\(.id)  \(.model)@\(.alias) to version \(.version)  \(.digest)"'
    ;;
show)
    [ $# -eq 2 ] || usage
    call "approvals/$2" | jq .
    ;;
approve | reject)
    decide "$@"
    ;;
check)
    [ $# -ge 5 ] || usage
    jq --null-input --arg digest "$3" --arg name "$4" --argjson passed "$5" \
        --arg comment "${6:-}" \
        '{digest: $digest, name: $name, passed: $passed, comment: $comment}' |
        call "approvals/$2/checks" --data @- |
        jq --raw-output '"\(.name): \(if .passed then "passed" else "failed" end)"'
    ;;
*)
    usage
    ;;
esac
