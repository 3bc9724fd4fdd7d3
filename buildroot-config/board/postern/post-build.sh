#!/usr/bin/env bash
# Buildroot calls this when all packages are in TARGET_DIR: the same installer as for the other
# image puts in Postern's units, users and files. BR2_ROOTFS_OVERLAY is not used, it would be a
# second copier.
set -euo pipefail

readonly TARGET=$1
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
version=${POSTERN_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$checkout/Cargo.toml" | head -n 1)}

# The installer copies the program to where Buildroot's package has put it already.
program=$(mktemp)
trap 'rm -f "$program"' EXIT
cp "$TARGET/usr/bin/postern" "$program"
chmod 0755 "$program"
keys=()
if [[ -n ${POSTERN_KEYS:-} ]]; then
    keys=(--keys "$POSTERN_KEYS")
else
    echo "post-build.sh: POSTERN_KEYS names no release keys (image/keys makes them): boxes of this" \
        "image will believe no update" >&2
fi
"$checkout/image/install-rootfs" --binary "$program" --version "$version" "${keys[@]}" "$TARGET"

# Buildroot's fstab mounts the root and its own file systems; here the units do.
rm -f "$TARGET/etc/fstab"
# Where the units mount state, spool and the firmware's partition: a read-only root cannot grow them.
mkdir -p "$TARGET"/{var,efi,proc,sys,dev,run,tmp}
