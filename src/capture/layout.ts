// Where in the kernel's structs the probes fetch from: the host's own type data, or where it has none the layouts of the kernels that we know
// (formats.md section 3; src/import/profiles.ts reads the same ones back).
import { type HostFacts, releaseNumber } from "./host.js";

/** Structs by the names that they have gone by. */
const NAMES: Readonly<Record<string, readonly string[]>> = { ksm_rmap_item: ["ksm_rmap_item", "rmap_item"] };

interface KnownLayout {
	readonly from: number;
	readonly offsets: Readonly<Record<string, number>>;
}

/** From the newest: the first that a release is not older than. The vma member of mmu_notifier_range went in 6.3. */
const KNOWN: readonly KnownLayout[] = [
	{
		from: 6003,
		offsets: {
			"mmu_notifier_range.mm": 0,
			"mmu_notifier_range.start": 8,
			"mmu_notifier_range.end": 16,
			"mmu_notifier_range.flags": 24,
			"mmu_notifier_range.event": 28,
		},
	},
	{
		from: 5002,
		offsets: {
			"mmu_notifier_range.mm": 8,
			"mmu_notifier_range.start": 16,
			"mmu_notifier_range.end": 24,
			"mmu_notifier_range.flags": 32,
			"mmu_notifier_range.event": 36,
		},
	},
];
const KNOWN_FAULT: readonly KnownLayout[] = [
	{ from: 5018, offsets: { "vm_fault.address": 24, "vm_fault.flags": 40, "vm_fault.page": 80 } },
];
/** The same in every kernel that has KSM with a tracked mm. */
const KNOWN_ALWAYS: Readonly<Record<string, number>> = { "ksm_rmap_item.mm": 16, "ksm_rmap_item.address": 24, "vm_fault.address": 24 };

/** Bytes of `struct.member`; undefined where nothing tells. */
function offsetOf(facts: HostFacts, path: string): number | undefined {
	const [struct = "", member = ""] = path.split(".");
	for (const name of NAMES[struct] ?? [struct]) {
		const offset = facts.types?.offset(name, member);
		if (offset !== undefined) return offset;
	}
	if (facts.types !== undefined) return undefined;
	const release = releaseNumber(facts.release);
	const known = [KNOWN, KNOWN_FAULT].map((layouts) => layouts.find(({ from }) => release >= from)?.offsets[path]);
	return known.find((offset) => offset !== undefined) ?? KNOWN_ALWAYS[path];
}

/** Fetch arguments with every {struct.member} as a number; arguments whose place nothing tells are left out. */
export function fetchArguments(facts: HostFacts, fetch: string): string {
	const placed = fetch.split(" ").flatMap((argument) => {
		let known = true;
		const text = argument.replace(/\{([\w.]+)\}/g, (_, path: string) => {
			const offset = offsetOf(facts, path);
			known &&= offset !== undefined;
			return String(offset);
		});
		return known ? [text] : [];
	});
	return placed.join(" ");
}

/** The name that this kernel's types give a struct. */
export function structName(facts: HostFacts, struct: string): string {
	return (NAMES[struct] ?? [struct]).find((name) => facts.types?.has(name) === true) ?? struct;
}
