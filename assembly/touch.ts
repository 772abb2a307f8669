// Memory-level parallelism where the page tables outgrow the caches: the records of upcoming accesses are loaded some dozens at a time, addresses
// first, so that their misses overlap instead of each holding up its own walk (WebAssembly has no prefetch). It changes nothing but the time.
import { agentAt, opOf, pageAt } from "./decode";
import { AGENT_SHIFT, OPERATION } from "./generated/constants";
import { PAGE_LIMIT } from "./layout";
import { leafOf, recordIn, tableBytes } from "./pagetable";
import { Vcpu } from "./world";

// @ts-ignore: decorator
@inline
const AHEAD: u32 = 64;
/** Smaller tables stay in the caches. */
// @ts-ignore: decorator
@inline
const CACHED_BYTES: usize = 1 << 18;
/** One access in so many that leaves the first-level TLB makes it worth while. */
// @ts-ignore: decorator
@inline
const WORTH: u32 = 4;
// @ts-ignore: decorator
@inline
const NEVER: u32 = 0xffff_ffff;

const addresses: usize = memory.data(256);
let worthWhile: bool = false;
/** Most accesses left the first level: it is no use to look for runs of hits. */
export let mostlyMisses: bool = false;

export function resetTouch(): void {
	worthWhile = false;
	mostlyMisses = false;
}

/** What the block before was like: accesses, and those that left the first level of the first strategy's TLB. */
export function judge(accesses: u64, misses: u64): void {
	mostlyMisses = misses * 2 > accesses;
	worthWhile = tableBytes > CACHED_BYTES && misses * WORTH > accesses;
}

/** Load what the records from `from` on will ask for. Returns the record at which to come again. */
export function touch(from: u32, events: u32): u32 {
	if (!worthWhile) return NEVER;
	const end = min<u32>(from + AHEAD, events);
	let at = addresses;
	for (let index = from; index < end; index++) {
		const op = opOf(index);
		const agent = agentAt(op >> AGENT_SHIFT);
		if (agent.vcpu == 0 || (op & 7) == OPERATION) continue;
		const page = agent.base + load<u32>(pageAt + ((<usize>index) << 2));
		if (page >= PAGE_LIMIT) continue;
		const root = changetype<Vcpu>(agent.vcpu).vm.root0;
		const leaf = leafOf(root, page);
		if (leaf == 0) continue;
		store<u32>(at, <u32>recordIn(root, leaf, page));
		at += 4;
	}
	let sum: u32 = 0;
	for (let address = addresses; address < at; address += 4) sum ^= load<u32>(<usize>load<u32>(address));
	// Kept, or the compiler would drop the loads.
	store<u32>(addresses, sum);
	return end;
}
