// Symbols by address: the kallsyms text that a trace.dat carries ("ffffffff81321130 t try_to_merge_with_ksm_page").
import { PROBED, plainSymbol } from "./symbols.js";

/** Kernel addresses less this are exact as numbers. */
const KERNEL_BASE = 0xffff_0000_0000_0000n;
/** A probe stands at a function's first bytes: behind its endbr and its call to ftrace. */
const MAX_OFFSET = 64;

export class Kallsyms {
	readonly #addresses: Float64Array;
	readonly #names: readonly string[];

	constructor(text: string) {
		const found: { address: number; name: string }[] = [];
		for (const line of text.split("\n")) {
			const match = /^([0-9a-f]{16}) [tTwW] (\S+)/.exec(line);
			if (match === null) continue;
			const address = BigInt(`0x${match[1] ?? "0"}`);
			if (address > KERNEL_BASE) found.push({ address: Number(address - KERNEL_BASE), name: match[2] ?? "" });
		}
		found.sort((a, b) => a.address - b.address);
		this.#addresses = Float64Array.from(found, ({ address }) => address);
		this.#names = found.map(({ name }) => name);
	}

	/** The function that an address is the beginning of; of several names at one place, one that is probed. "" if there is none. */
	at(address: bigint): string {
		if (address <= KERNEL_BASE) return "";
		const wanted = Number(address - KERNEL_BASE);
		let low = 0;
		let high = this.#addresses.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#addresses[middle] ?? 0) <= wanted) low = middle + 1;
			else high = middle;
		}
		const place = this.#addresses[low - 1];
		if (place === undefined || wanted - place > MAX_OFFSET) return "";
		let name = this.#names[low - 1] ?? "";
		for (let at = low - 1; at >= 0 && this.#addresses[at] === place; at--) {
			const candidate = this.#names[at] ?? "";
			if (PROBED[plainSymbol(candidate)] !== undefined) name = candidate;
		}
		return name;
	}
}
