// events.txt of a capture: the tracepoints and probes that were enabled, one a line. Says what a capture cannot show.
import { readLines, type SourceDigest } from "./input.js";

/** Events that fidelity and the importer live on, and what is missing without each. */
const WANTED: readonly (readonly [event: string, without: string])[] = [
	["kvm_page_fault", "vmexits are not observed"],
	["kvm_tdp_mmu_spte_changed", "SPTE changes are not observed, and faults have no classes"],
	["mn_range_start", "notifier ranges are not observed: COW and KSM operations are missing"],
	["mn_range_end", "the ends of notifier ranges are not observed"],
	["ksm_try_to_merge_one_page", "merges are not observed"],
	["kvm_flush_remote_tlbs", "flushes are not observed"],
];

const PROBE = /^kprobe\s+\S+\s/;

/** The event's name in a line: `group/name …`, or `kprobe p:group/name …`. */
function nameOf(line: string): string | undefined {
	const event = PROBE.test(line) ? line.split(/\s+/)[1]?.replace(/^[pr]\d*:/, "") : line.split(/\s+/)[0];
	return event?.split("/").at(-1);
}

export interface EventList {
	readonly source: SourceDigest;
	readonly warnings: string[];
}

/** @throws BadInputError where the file cannot be read */
export async function readEventList(path: string): Promise<EventList> {
	const source: SourceDigest = { name: "", sha256: "" };
	const names = new Set<string>();
	for await (const lines of readLines(path, source)) {
		for (const { text } of lines) {
			const name = text.trim() === "" ? undefined : nameOf(text.trim());
			if (name !== undefined) names.add(name);
		}
	}
	const missing = WANTED.filter(([event]) => !names.has(event));
	return { source, warnings: missing.map(([event, without]) => `${event} was not enabled in this capture: ${without}`) };
}
