#!/bin/sh
# run.sh DIR KERNEL INITRD WORD...: boots a kernel under QEMU's emulation of AMD SVM with nested paging, and unpacks what its init wrote into DIR.
# WORDs go on the kernel's command line (cap.runs=tiny). Environment: SMP, MEM (MiB), LIMIT (seconds).
set -eu
D=$1 K=$2 I=$3; shift 3
mkdir -p "$D"; rm -f "$D/disk.img"; truncate -s 1G "$D/disk.img"
# One CPU: counts are then the same in every run (pids, pfns and times are not).
timeout "${LIMIT:-300}" qemu-system-x86_64 -M q35 -cpu EPYC,+svm,+npt -accel tcg,thread=multi -smp "${SMP:-1}" -m "${MEM:-2048}" \
	-nodefaults -display none -no-reboot -serial "file:$D/console.txt" \
	-drive "file=$D/disk.img,format=raw,if=none,id=d0" -device virtio-blk-pci,drive=d0 -kernel "$K" -initrd "$I" \
	-append "console=ttyS0 quiet loglevel=4 mitigations=off nokaslr panic=-1 rcupdate.rcu_expedited=1 $*" > "$D/qemu.log" 2>&1 ||
	{ echo "qemu ended with $?" >&2; tail -n 20 "$D/qemu.log" "$D/console.txt" >&2; exit 1; }
tar -C "$D" -xf "$D/disk.img" || { tail -n 20 "$D/console.txt" >&2; exit 1; }
rm -f "$D/disk.img"
