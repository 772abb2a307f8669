// What a block holds, for its index entry: kinds present, VMs touched, time range; and how many records of each kind.
import { AgentKind } from "./kinds.js";
import type { Agent } from "./record.js";

/** 64 bits, as two words. */
export type Bits = readonly [low: number, high: number];

export const NO_BITS: Bits = [0, 0];
export const ALL_BITS: Bits = [0xffff_ffff, 0xffff_ffff];

function withBit(bits: Bits, bit: number): Bits {
	return bit < 32 ? [(bits[0] | (1 << bit)) >>> 0, bits[1]] : [bits[0], (bits[1] | (1 << (bit - 32))) >>> 0];
}

export function hasBit(bits: Bits, bit: number): boolean {
	return ((bit < 32 ? bits[0] >>> bit : bits[1] >>> (bit - 32)) & 1) === 1;
}

export function union(a: Bits, b: Bits): Bits {
	return [(a[0] | b[0]) >>> 0, (a[1] | b[1]) >>> 0];
}

/** The bit that stands for a VM in an index entry. */
function vmBit(vm: number): number {
	return Math.min(vm, 63);
}

/** Codes of records: 0 for plain accesses, else the operation's. */
export const CODES = 128;

export class Tally {
	readonly totals = new Float64Array(CODES);
	vms: Bits = NO_BITS;
	lastNs = 0;

	clear(): void {
		this.totals.fill(0);
		this.vms = NO_BITS;
		this.lastNs = 0;
	}

	agent(agent: Agent): void {
		if (agent.kind === AgentKind.guest || agent.kind === AgentKind.vm) this.vms = withBit(this.vms, vmBit(agent.vm));
	}

	/** Kinds present as bits: codes 0 to 63 (causes), or 64 to 127 (observations). */
	kinds(from: 0 | 64): Bits {
		let bits = NO_BITS;
		for (let bit = 0; bit < 64; bit++) if (this.totals[from + bit] > 0) bits = withBit(bits, bit);
		return bits;
	}
}
