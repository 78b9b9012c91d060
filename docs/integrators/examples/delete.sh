#!/usr/bin/env bash
# Usage: ACCESS_KEY=… SECRET_KEY=… bash delete.sh BASE_URL VDN CAMPAIGN BODY
# openssl takes its key on the command line, where other users of the machine can see it.
set -euo pipefail
export LC_ALL=C # Bytes, not characters.
base_url=$1 vdn=$2 campaign=$3 body=$4
path="/rest/isales/v1/openapi/campaigns/$vdn/calldata/$campaign/delete"
content_type="application/json; charset=UTF-8"
host=${base_url#*://} # As curl sends it: with the port, unless it is the scheme's own.

normalize() {
    local text=$1 i character
    for ((i = 0; i < ${#text}; i++)); do
        character=${text:i:1}
        case $character in
        [A-Za-z0-9._~-]) printf '%s' "$character" ;;
        *) printf '%%%02X' $(($(printf '%d' "'$character") & 255)) ;;
        esac
    done
}

# hmac KEY MESSAGE
hmac() { printf '%s' "$2" | openssl dgst -sha256 -hmac "$1" | sed 's/.* //'; }

signed_headers="content-type;host"
canonical_request="POST
$path
$signed_headers
content-type:$(normalize "$content_type")
host:$(normalize "$host")
$(normalize "$body")"
prefix="auth-v2/$ACCESS_KEY/$(date -u +%Y-%m-%dT%H:%M:%SZ)/$signed_headers"
signature=$(hmac "$(hmac "$SECRET_KEY" "$prefix")" "$canonical_request")

curl --silent --show-error --fail-with-body "$base_url$path" \
    -H "Content-Type: $content_type" \
    -H "Authorization: $prefix/$signature" \
    --data-binary "$body"
echo
