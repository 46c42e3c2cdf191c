#!/bin/sh
# Fetches the published weights and the SyncNet demo clip into data/, as models/published.tsv lists
# them. Nothing here needs them: the toolkit works with its own small weights until they are there,
# and takes them once they are. Usage: ./download_model.sh --help
set -euf
LC_ALL=C # tr is to see bytes
export LC_ALL
CDPATH='' cd -- "$(dirname -- "$0")"
TABLE=models/published.tsv
STALL_S=60 # a transfer without a byte for this long has broken off

show_help() {
    cat <<'END'
usage: ./download_model.sh [--only syncnet|s3fd|wav2lip|example]

Fetches the published files of models/published.tsv into data/: all of them (1.2 GB), or

  --only syncnet  SyncNet v2 (55 MB)
  --only s3fd     its face detector (90 MB)
  --only wav2lip  Wav2Lip with and without GAN and its expert (1.1 GB); wav2lip_gan or
                  lipsync_expert instead of wav2lip is that one alone
  --only example  the SyncNet demo clip (1 MB)

A file that is there and right is left alone. What comes is data/FILE.part, which the next run
continues, until its SHA-256 is right; then it takes its name. Addresses are tried in turn.
DOWNLOAD_MIRROR=URL in the environment names a folder to fetch from instead of those addresses.

Exit codes: 0 everything is there, 1 something could not be fetched, 2 wrong usage.
END
}

fail() { # message code
    echo "error: $1" >&2
    exit "$2"
}

size() { # file: its bytes, 0 where it is absent
    if [ -f "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi
}

digest() { # file: its SHA-256
    case "$hasher" in
    sha256sum) sha256sum "$1" ;;
    shasum) shasum -a 256 "$1" ;;
    openssl) openssl dgst -sha256 -r "$1" ;;
    esac | cut -d ' ' -f 1
}

is_page() { # file: whether it is HTML, which sites send with code 200 instead of an error
    [ -f "$1" ] || return 1
    start=$(dd if="$1" bs=512 count=1 2>/dev/null | tr -cd '<!A-Za-z' | tr '[:upper:]' '[:lower:]')
    case "$start" in
    '<!doctypehtml'* | '<html'*) return 0 ;;
    *) return 1 ;;
    esac
}

is_published() { # file: whether it is the one the table names
    [ -s "$1" ] || return 1
    [ "$bytes" = - ] || [ "$(size "$1")" -eq "$bytes" ] || return 1
    if [ "$sha" = - ]; then
        [ "$status" -eq 0 ] && ! is_page "$1"
    else
        [ "$(digest "$1")" = "$sha" ]
    fi
}

fetch() { # continues $part from $url; sets status and, with curl, the server's code
    status=0 code=
    # $bar may be two options
    # shellcheck disable=SC2086
    if [ "$client" = curl ]; then
        code=$(curl $bar --fail --location --globoff --connect-timeout "$STALL_S" \
            --speed-limit 1 --speed-time "$STALL_S" --continue-at - --output "$part" \
            --write-out '%{http_code}' "$url" </dev/null 2>&4) || status=$?
    else
        wget $bar -c -t 1 -T "$STALL_S" -O "$part" "$url" </dev/null 2>&4 || status=$?
    fi
}

settle() { # of $part and what was set aside for it, the longer one goes on
    if [ -f "$part.kept" ]; then
        if [ "$(size "$part")" -gt "$(size "$part.kept")" ]; then
            rm -f "$part.kept"
        else
            mv -f "$part.kept" "$part"
        fi
    fi
    [ -s "$part" ] || rm -f "$part"
}

explain() { # sets reason; deletes $part where it is of no use
    now=$(size "$part")
    case "$client$status" in
    curl23 | wget3) fail "$part cannot be written (is the disk full?)." 1 ;;
    esac
    if is_page "$part"; then
        reason="sent an HTML page instead of the file"
        rm -f "$part"
    elif [ "$status" -eq 0 ]; then
        reason="sent another file than the published one ($now bytes, other SHA-256)"
        rm -f "$part"
    elif [ "$now" -gt "$before" ]; then
        total=
        [ "$bytes" = - ] || total=" of $bytes"
        reason="broke off after $now$total bytes"
    else
        case "$client$status" in
        curl22 | wget8) reason="answered with an error${code:+ ($code)}" ;;
        curl35 | curl51 | curl60 | wget5) reason="has no certificate this machine trusts" ;;
        *) reason="cannot be reached" ;;
        esac
    fi
}

try() { # whether $url completes $part; sets reason where it does not
    settle
    [ "$sha" != - ] || rm -f "$part" # pieces whose whole cannot be checked are not joined
    if [ "$bytes" != - ] && [ "$(size "$part")" -ge "$bytes" ]; then
        is_published "$part" && return 0
        rm -f "$part"
    fi
    while :; do
        before=$(size "$part")
        fetch
        if is_published "$part"; then
            rm -f "$part.kept"
            return 0
        fi
        # A server that cannot continue, or a whole that is wrong: what was there before may be to
        # blame, so the same address gives the file from its start.
        case "$before:$status:$code" in
        0:*) break ;;
        *:0:* | *:33:* | *:416) ;;
        *) break ;;
        esac
        if [ "$(size "$part")" -eq "$before" ]; then
            mv -f "$part" "$part.kept"
        else
            rm -f "$part"
        fi
    done
    explain
    settle
    return 1
}

get() { # the row in name, file, bytes, sha, urls and licence
    target=data/$file
    part=$target.part
    record=$target.sha256
    status=0
    if [ "$sha" = - ] && [ -f "$record" ]; then sha=$(cut -d ' ' -f 1 <"$record"); fi
    if [ -f "$target" ]; then
        if [ "$sha" = - ] || [ "$(digest "$target")" = "$sha" ]; then
            echo "$target is there."
            return 0
        fi
        echo "warning: $target is not the published file (other SHA-256);" \
            "it stays until that one is here." >&2
    fi
    [ -z "${DOWNLOAD_MIRROR:-}" ] || urls=${DOWNLOAD_MIRROR%/}/$file
    for url in $urls; do
        if try; then
            if [ "$sha" = - ]; then
                echo "$(digest "$part")  $file" >"$record.part"
                mv -f "$record.part" "$record"
                echo "No SHA-256 of $target is known; the one seen now is kept in $record."
            fi
            mv -f "$part" "$target" || fail "$target cannot be written." 1
            echo "$target is complete; licence: $licence."
            return 0
        fi
        echo "warning: $url $reason." >&2
    done
    echo "error: $target could not be fetched; run this again to continue." >&2
    return 1
}

only=all
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help)
        show_help
        exit 0
        ;;
    --only)
        [ $# -ge 2 ] || fail "--only needs a name; see --help." 2
        only=$2
        shift 2
        ;;
    --only=*)
        only=${1#--only=}
        shift
        ;;
    *) fail "$1 is not an option of this script; see --help." 2 ;;
    esac
done

for client in curl wget none; do command -v "$client" >/dev/null 2>&1 && break; done
for hasher in sha256sum shasum openssl none; do command -v "$hasher" >/dev/null 2>&1 && break; done
[ "$client" != none ] || fail "neither curl nor wget is installed; install one." 1
[ "$hasher" != none ] || fail "none of sha256sum, shasum, openssl is installed; install one." 1
bar=--progress-bar
if [ "$client" = wget ]; then
    bar=-q
    if wget --help 2>&1 | grep -q -e --show-progress; then bar='-q --show-progress'; fi
fi
if [ -t 2 ]; then exec 4>&2; else exec 4>/dev/null; fi # for the bar: only a terminal sees it
mkdir -p data 2>/dev/null || fail "data is not a folder that can be written." 1

found=false
failed=false
tab=$(printf '\t')
while IFS=$tab read -r name file bytes sha urls licence <&3; do
    case "$only:$name" in
    *:name) continue ;; # the header
    all:* | "$name:$name" | wav2lip:wav2lip_gan | wav2lip:lipsync_expert) ;;
    *) continue ;;
    esac
    found=true
    get || failed=true
done 3<"$TABLE"
[ "$found" = true ] || fail "--only $only is not one of syncnet, s3fd, wav2lip, example." 2
[ "$failed" = false ] || exit 1
