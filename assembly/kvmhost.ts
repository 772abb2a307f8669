// What KVM on the host is (src/trace/kvmhost.ts): set before a world begins.
import { HostFlag } from "./generated/constants";
import { Bit, SpteBit } from "./layout";

/** The MMU before the TDP MMU. */
export let legacyMmu: bool = false;
/** The hardware sets A and D in SPTEs. */
export let eptAd: bool = true;
/** Dirty logging clears D instead of taking W. */
export let pml: bool = true;
/** What an SPTE has that is present to the hardware: without A/D bits one that nobody has accessed is an access-track one (3.4). */
export let usableBits: u32 = Bit.present;

export function setHost(flags: u32): void {
	legacyMmu = (flags & HostFlag.legacyMmu) != 0;
	eptAd = (flags & HostFlag.noAd) == 0;
	pml = eptAd && (flags & HostFlag.noPml) == 0;
	usableBits = eptAd ? <u32>Bit.present : Bit.present | SpteBit.accessed;
}
