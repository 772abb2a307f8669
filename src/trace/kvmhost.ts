// How KVM on a host maps guest memory: which MMU, and what the hardware notes by itself (kernel.md 3.3 to 3.6). A trace records what its capture
// tells of it.

/**
 * tdp: the TDP MMU (kvm.tdp_mmu, the default since 5.15): faults under mmu_lock for reading, one entry a fault.
 * legacy: the MMU before it, with direct pages: SPTEs on the gfn's rmap, faults under mmu_lock for writing, neighbours prefetched.
 */
export const MMUS = ["tdp", "legacy"] as const;
export type Mmu = (typeof MMUS)[number];

export interface KvmHost {
	readonly mmu: Mmu;
	/** The hardware sets A and D bits in SPTEs (kvm_intel.eptad; AMD has them always). Without them KVM tracks accesses by SPTEs that do not work. */
	readonly eptAd: boolean;
	/** Page-modification logging (kvm_intel.pml): dirty logging clears D instead of taking W. Only with A/D bits. */
	readonly pml: boolean;
}

/** What a capture tells of its host; what is left out is not known. */
export interface RecordedHost {
	readonly mmu?: Mmu | undefined;
	readonly eptAd?: boolean | undefined;
	readonly pml?: boolean | undefined;
}

/** A current Intel host. */
export const DEFAULT_HOST: KvmHost = { mmu: "tdp", eptAd: true, pml: true };

/** A host in words. */
export function hostTitle({ mmu, eptAd, pml }: KvmHost): string {
	const bits = eptAd ? `with A/D bits${pml ? "" : ", without page-modification logging"}` : "without A/D bits";
	return `${mmu === "tdp" ? "TDP MMU" : "legacy MMU"}, ${bits}`;
}

/** A host of which parts are told; the first one that tells a part is believed, and the rest is as on a current host. */
export function hostOf(...told: readonly RecordedHost[]): KvmHost {
	let { mmu, eptAd, pml } = DEFAULT_HOST;
	for (const one of told.toReversed()) {
		mmu = one.mmu ?? mmu;
		eptAd = one.eptAd ?? eptAd;
		pml = one.pml ?? pml;
	}
	return { mmu, eptAd, pml: pml && eptAd };
}

export function isSameHost(one: KvmHost, other: KvmHost): boolean {
	return one.mmu === other.mmu && one.eptAd === other.eptAd && one.pml === other.pml;
}

/** Only what is told. */
export function knownParts({ mmu, eptAd, pml }: RecordedHost): RecordedHost {
	return { ...(mmu === undefined ? {} : { mmu }), ...(eptAd === undefined ? {} : { eptAd }), ...(pml === undefined ? {} : { pml }) };
}
