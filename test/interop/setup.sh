#!/usr/bin/env bash
# Brings what `npm run test:interop` uses and an ordinary machine lacks: a Python environment, the Go programs
# and grpcurl, all in a cache outside the repository, and nginx where it may be installed. What cannot be had is
# said in one line and skipped, there as here; with --strict it is an error instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache="${HANDFAST_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/handfast-interop}"
strict=false
[ "${1:-}" = --strict ] && strict=true
mkdir -p "$cache"

lacking() {
  echo "interop: $1"
  if $strict; then exit 1; fi
}

if command -v python3 >/dev/null; then
  venv="$cache/python"
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  if ! cmp -s examples/python/requirements.txt "$venv/requirements.txt"; then
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r examples/python/requirements.txt
    cp examples/python/requirements.txt "$venv/requirements.txt"
  fi
else
  lacking "python3 is missing: the Python rows are skipped"
fi

if command -v go >/dev/null; then
  mkdir -p "$cache/go"
  (cd examples/go && go build -trimpath -o "$cache/go/" ./...)
  [ -x "$cache/go/grpcurl" ] ||
    GOBIN="$cache/go" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
  for program in pebble pebble-challtestsrv; do
    [ -x "$cache/go/$program" ] ||
      GOBIN="$cache/go" go install "github.com/letsencrypt/pebble/v2/cmd/$program@v2.10.1"
  done
else
  lacking "go is missing: the Go, grpcurl and pebble rows are skipped"
fi

if ! command -v nginx >/dev/null && [ ! -x /usr/sbin/nginx ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends nginx libnginx-mod-stream >/dev/null
  else
    lacking "nginx is missing and may not be installed from here: its rows are skipped"
  fi
fi

for client in certbot lego; do
  command -v "$client" >/dev/null && continue
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$client" >/dev/null
  else
    lacking "$client is missing and may not be installed from here: its ACME rows are skipped"
  fi
done

# The published schemas that deploy/kubernetes is checked against, and a linter of deploy/Dockerfile.
schemas="$cache/schemas"
if [ ! -d "$schemas/node_modules/dockerfile-utils" ]; then
  mkdir -p "$schemas"
  [ -f "$schemas/package.json" ] || echo '{ "private": true }' >"$schemas/package.json"
  npm install --silent --no-audit --no-fund --prefix "$schemas" \
    kubernetes-models@5.1.0 @kubernetes-models/cert-manager@6.0.0 @kubernetes-models/istio@3.0.1 yaml@2.9.1 dockerfile-utils@0.16.3
fi
