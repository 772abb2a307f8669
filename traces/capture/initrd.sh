#!/bin/sh
# initrd.sh MODULES OUT [FILE...]: an initrd of busybox, init, vmm and the modules of a kernel that KVM and a virtio disk need. Each FILE goes to /, a
# program with the libraries that it needs.
set -eu
M=$1 OUT=$2; shift 2
here=$(cd "$(dirname "$0")" && pwd)
R=$(mktemp -d); trap 'rm -rf "$R"' EXIT
mkdir -p "$R/bin" "$R/sbin" "$R/proc" "$R/sys" "$R/dev" "$R/mod" "$R/tmp" "$R/out"
cp "$(command -v busybox)" "$R/bin/busybox"; ln -s busybox "$R/bin/sh"
cp "$here/init" "$R/init"; chmod +x "$R/init"
cp "${VMM:?}" "$R/vmm"
for m in rng-core ccp irqbypass kvm kvm-amd virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
	f=$(find "$M" -name "$m.ko" -o -name "$m.ko.xz" | head -n 1)
	case $f in '') ;; *.xz) xz -dc "$f" > "$R/mod/$m.ko";; *) cp "$f" "$R/mod/";; esac
done
for f in "$@"; do
	if [ -x "$f" ] && ldd "$f" > /dev/null 2>&1; then
		cp "$f" "$R/bin/"
		for l in $(ldd "$f" | grep -o '/[^ ]*'); do mkdir -p "$R$(dirname "$l")"; cp -L "$l" "$R$l"; done
	else cp "$f" "$R/"; fi
done
(cd "$R" && find . | cpio -o -H newc -R 0:0 2> /dev/null | gzip -1) > "$OUT"
