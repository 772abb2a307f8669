// One SPTE on one host (kernel.md 3.4 to 3.6): what lets an access through, what a walk leaves in it, and what KVM makes of it.
import type { KvmHost } from "../trace/kvmhost.js";
import type { Frame } from "./frames.js";
import type { Spte } from "./vm.js";

/** Present to the hardware. Without A/D bits an SPTE that nobody has accessed is an access-track one: KVM's, but of no use to the hardware (3.4). */
export function isUsable({ eptAd }: KvmHost, spte: Spte): boolean {
	return spte.frame !== null && (eptAd || spte.accessed);
}

/** Whether an SPTE lets an access through. */
export function permits(host: KvmHost, spte: Spte, write: boolean): boolean {
	return isUsable(host, spte) && (!write || spte.writable);
}

/** is_dirty_spte: without A/D bits the right to write says it. */
export function isDirty({ eptAd }: KvmHost, spte: Spte): boolean {
	return eptAd ? spte.dirty : spte.writable;
}

/** A walk that goes through: the hardware sets A, and D at a store. */
export function touch({ eptAd }: KvmHost, spte: Spte, write: boolean): void {
	spte.accessed = true;
	if (write && eptAd) spte.dirty = true;
}

/** What the TLB may keep of an SPTE: a store through an entry whose D is clear walks again, to set it. */
export function cachedRight({ eptAd }: KvmHost, spte: Spte): boolean {
	return spte.writable && (!eptAd || spte.dirty);
}

/** make_spte. `prefetch`: no access made it, so A is clear; without A/D bits that leaves an access-track SPTE, which has no W (3.4, 2.8). */
export function makeSpte(host: KvmHost, spte: Spte, frame: Frame, writable: boolean, prefetch: boolean): void {
	spte.frame = frame;
	spte.hostWritable = writable;
	spte.mmuWritable = writable;
	spte.writable = writable && (host.eptAd || !prefetch);
	spte.dirty = writable && host.eptAd;
	spte.accessed = !prefetch;
	spte.stored = false;
	expectRights(spte);
}

/** kvm_mmu_changed_pte_notifier_make_spte: another page, no right to write it, not accessed; D stays as it was (3.4). */
export function changeSpte(spte: Spte, frame: Frame): void {
	spte.frame = frame;
	spte.writable = false;
	spte.hostWritable = false;
	spte.mmuWritable = false;
	spte.accessed = false;
	spte.stored = false;
}

/** mark_spte_for_access_track: the rights are saved, but not W, which a later store gets back if the SPTE is MMU-writable. */
export function clearAccessed({ eptAd }: KvmHost, spte: Spte): void {
	spte.accessed = false;
	if (eptAd) return;
	if (spte.writable) spte.stored = false;
	spte.writable = false;
}

/** check_spte_writable_invariants (I-4). */
export function expectRights(spte: Spte): void {
	if ((spte.writable && !spte.mmuWritable) || (spte.mmuWritable && !spte.hostWritable))
		throw new Error("an SPTE with more rights than KVM gave it (I-4)");
}
