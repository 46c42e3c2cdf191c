#!/bin/sh
# Fetches the published weights and the SyncNet demo clip into data/. Nothing here needs them:
# the toolkit works with its own small weights until they are there, and takes them once they are.
# Usage: ./download_model.sh [--only syncnet|s3fd|example]
set -eu
cd "$(dirname "$0")"
BASE=https://www.robots.ox.ac.uk/~vgg/software/lipsync/data
ONLY=${2:-all}
case "${1:-}" in
"" | --only) ;;
*)
    echo "usage: $0 [--only syncnet|s3fd|example]" >&2
    exit 2
    ;;
esac

fetch() { # url file: resumes file where it stopped
    if command -v curl >/dev/null; then
        curl --fail --location --continue-at - --progress-bar --output "$2" "$1"
    elif command -v wget >/dev/null; then
        wget --continue --output-document="$2" "$1"
    else
        echo "error: neither curl nor wget is installed; install one." >&2
        return 1
    fi
}

digest() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

get() { # name file sha256
    [ "$ONLY" = all ] || [ "$ONLY" = "$1" ] || return 0
    target=data/$2
    if [ -f "$target" ] && [ "$(digest "$target")" = "$3" ]; then
        echo "$target is there."
        return 0
    fi
    fetch "$BASE/$2" "$target.part" || {
        echo "error: $BASE/$2 cannot be fetched; run this again to continue." >&2
        exit 1
    }
    if [ "$(digest "$target.part")" != "$3" ]; then
        rm -f "$target.part"
        echo "error: $BASE/$2 is not the published file (other SHA-256); it was deleted." >&2
        exit 1
    fi
    mv "$target.part" "$target"
    echo "$target is complete."
}

case "$ONLY" in
all | syncnet | s3fd | example) ;;
*)
    echo "error: --only $ONLY is not one of syncnet, s3fd, example." >&2
    exit 2
    ;;
esac
get syncnet syncnet_v2.model 961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442
get s3fd sfd_face.pth d54a87c2b7543b64729c9a25eafd188da15fd3f6e02f0ecec76ae1b30d86c491
get example example.avi 1724121b3a50141cfc9e77c034f7de914024d015b92762ae12d3e1a7151b8621
