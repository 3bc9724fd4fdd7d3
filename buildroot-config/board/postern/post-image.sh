#!/usr/bin/env bash
# Buildroot calls this with the images in BINARIES_DIR: makes the disk of the appliance of them.
#
#   rootfs.erofs -> hash tree (dm-verity) -> unified kernel with its root hash -> GPT disk
#
# The partitions are those of image/repart.d (image/layout --genimage), the command line that of
# image/mkosi/mkosi.conf; only what an initrd does there is done by the kernel itself here.
# Environment: POSTERN_SIGN names a program that is called with each EFI file and signs it in place
# (Buildroot has none that does); without it the disk boots only without Secure Boot.
set -euo pipefail

readonly IMAGES=$1 ARCH=$2
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
layout=$checkout/image/layout
: "${HOST_DIR:?Buildroot sets it}" "${TARGET_DIR:?Buildroot sets it}"
export PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH

die() { printf 'post-image.sh: %s\n' "$*" >&2; exit 1; }

case $ARCH in
    x86_64) efi=x64 kernel=bzImage types=root-x86-64 consoles=() ;;
    aarch64) efi=aa64 kernel=Image types=root-arm64 consoles=(console=ttyAMA0) ;;
    *) die "no such architecture: $ARCH" ;;
esac
work=$IMAGES/postern
rm -rf "$work" && mkdir -p "$work/input" "$work/root"

version=$(sed -n 's/^IMAGE_VERSION=//p' "$TARGET_DIR/usr/lib/os-release")
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || die "no IMAGE_VERSION in usr/lib/os-release"

# A number that is the same for the same words: nothing in the disk depends on the moment.
number() { printf '%s' "$*" | sha256sum | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\1-\2-\3-\4-\5/'; }

# 32 hexadecimal digits as a UUID.
dashed() { sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12})$/\1-\2-\3-\4-\5/' <<<"$1"; }

# One value of a key of mkosi that goes over several indented lines, without its comments.
command_line() {
    awk '/^KernelCommandLine=/ { on = 1; sub(/^[^=]*=/, ""); print; next }
         on && /^[^ \t#]/ { exit }
         on && $1 !~ /^#/ { $1 = $1; print }' "$checkout/image/mkosi/mkosi.conf" | paste -sd ' '
}

# The hash tree. Salt and UUID follow the version, the root hash follows the content.
cp "$IMAGES/rootfs.erofs" "$work/input/root.erofs"
truncate -s %4096 "$work/input/root.erofs"
salt=$(printf 'postern %s' "$version" | sha256sum | cut -d ' ' -f 1)
veritysetup format "$work/input/root.erofs" "$work/input/root.verity" --hash=sha256 \
    --data-block-size=4096 --hash-block-size=4096 --salt="$salt" \
    --uuid="$(number verity "$version")" --root-hash-file="$work/hash" >"$work/verity.txt"
hash=$(<"$work/hash")
[[ ${#hash} == 64 ]] || die "veritysetup gave no root hash"
root=$(dashed "${hash:0:32}") verity=$(dashed "${hash:32:32}")
for piece in root.erofs:10-root-a root.verity:11-root-a-verity; do
    size=$(stat -c %s "$work/input/${piece%%:*}")
    room=$("$layout" --octets "$(sed -n 's/^SizeMaxBytes=//p' "$checkout/image/repart.d/${piece#*:}.conf")")
    ((size <= room)) || die "${piece%%:*} has $size octets, its partition $room"
done

# The kernel makes /dev/dm-0 before it mounts the root. 4 KiB blocks, one of superblock before the
# tree, and a restart rather than a wrong block.
blocks=$(($(stat -c %s "$work/input/root.erofs") / 4096))
table="0 $((blocks * 8)) verity 1 PARTUUID=$root PARTUUID=$verity 4096 4096 $blocks 1 sha256"
table+=" $hash $salt 1 panic_on_corruption"
cmdline="root=/dev/dm-0 rootfstype=erofs ro dm-mod.waitfor=PARTUUID=$root,PARTUUID=$verity"
cmdline+=" dm-mod.create=\"root,,,ro,$table\" roothash=$hash $(command_line)"
for console in "${consoles[@]}"; do cmdline+=" $console"; done

ukify build --efi-arch="$efi" --linux="$IMAGES/$kernel" --cmdline="$cmdline" \
    --os-release="@$TARGET_DIR/usr/lib/os-release" \
    --stub="$TARGET_DIR/usr/lib/systemd/boot/efi/linux$efi.efi.stub" \
    --output="$work/input/postern.efi"
cp "$TARGET_DIR/usr/lib/systemd/boot/efi/systemd-boot$efi.efi" "$work/input/loader.efi"
if [[ -n ${POSTERN_SIGN:-} ]]; then
    "$POSTERN_SIGN" "$work/input/postern.efi"
    "$POSTERN_SIGN" "$work/input/loader.efi"
fi
printf 'timeout 0\neditor no\n' >"$work/input/loader.conf"

# The firmware's partition, then the disk.
size=$(sed -n 's/^SizeMaxBytes=//p' "$checkout/image/repart.d/00-esp.conf")
cat >"$work/genimage.cfg" <<CONFIG
image esp.vfat {
	vfat {
		label = "ESP"
		extraargs = "-i $(number esp "$version" | cut -c 1-8)"
		file EFI/BOOT/BOOT${efi^^}.EFI { image = "loader.efi" }
		file EFI/systemd/systemd-boot$efi.efi { image = "loader.efi" }
		file EFI/Linux/postern_$version.efi { image = "postern.efi" }
		file loader/loader.conf { image = "loader.conf" }
	}
	size = $size
}
CONFIG
"$layout" --genimage | sed -e "s/@VERSION@/$version/g" -e "s/@ROOT_UUID@/$root/" \
    -e "s/@VERITY_UUID@/$verity/" -e "s/@ESP_UUID@/$(number esp "$hash")/" \
    -e "s/@DISK_UUID@/$(number disk "$hash")/" \
    -e "s/$("$layout" --type root-x86-64)/$("$layout" --type $types)/" \
    -e "s/$("$layout" --type root-x86-64-verity)/$("$layout" --type $types-verity)/" \
    >>"$work/genimage.cfg"
genimage --rootpath "$work/root" --tmppath "$work/tmp" --inputpath "$work/input" \
    --outputpath "$work" --config "$work/genimage.cfg"
mv "$work/postern.raw" "$IMAGES/postern-$version.raw"
cp "$work/input/postern.efi" "$IMAGES/postern_$version.efi"
printf 'post-image.sh: %s, root hash %s\n' "$IMAGES/postern-$version.raw" "$hash"
