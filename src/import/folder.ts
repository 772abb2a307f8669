// A capture as a folder: trace.txt(.gz) with the access logs, counters and event list that lie beside it (layouts data/captures and data/guests).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BadInputError } from "../errors.js";
import type { ImportOptions } from "./index.js";
import { readLines } from "./input.js";

const ACCESS_LOG = /^access\.vm(\d+)\.txt(\.gz)?$/;

/** Files of a folder, and what the capture should hold beyond them. */
export interface CaptureFolder {
	readonly trace: string;
	readonly access: readonly string[];
	readonly stats: string | undefined;
	readonly events: string | undefined;
	/** Release in uname.txt. */
	readonly kernel: string | undefined;
	/** What losses.txt says and the trace itself does not. */
	readonly losses: readonly { readonly name: string; readonly count: number }[];
	readonly warnings: readonly string[];
}

/** `name` as it is, or gzip'ed; undefined if it is neither. */
function findFile(folder: string, name: string): string | undefined {
	return [name, `${name}.gz`].map((candidate) => join(folder, candidate)).find((path) => existsSync(path));
}

/** @throws BadInputError where the folder holds no capture */
export function readFolder(folder: string): CaptureFolder {
	const names = readdirSync(folder);
	const trace = findFile(folder, "trace.txt");
	if (trace === undefined) {
		throw new BadInputError("no trace.txt or trace.txt.gz in the folder", {
			where: folder,
			hint: "a capture's folder holds the text of /sys/kernel/tracing/trace under that name",
		});
	}
	const access = names
		.filter((name) => ACCESS_LOG.test(name))
		.sort((a, b) => Number(ACCESS_LOG.exec(a)?.[1]) - Number(ACCESS_LOG.exec(b)?.[1]))
		.map((name) => join(folder, name));
	const noted = textOf(folder, "losses.txt");
	const dropped = [...noted.matchAll(/^cpu\d+ (?:commit overrun|dropped events): (\d+)$/gm)].reduce(
		(sum, match) => sum + Number(match[1]),
		0,
	);
	return {
		trace,
		access,
		stats: findFile(folder, "stats.jsonl"),
		events: findFile(folder, "events.txt"),
		kernel: /(?:^|\s)(\d+\.\d+\S*)/.exec(textOf(folder, "uname.txt"))?.[1],
		losses: dropped > 0 ? [{ name: "dropped", count: dropped }] : [],
		warnings: [...noted.matchAll(/^refused (.*)$/gm)].map((match) => `the captured kernel refused the probe ${match[1] ?? ""}`),
	};
}

/** The beginning of a small file beside the trace; "" if there is none. */
function textOf(folder: string, name: string): string {
	const path = join(folder, name);
	return existsSync(path) ? readFileSync(path, "utf8").slice(0, 1 << 20) : "";
}

/** How many VMs the rig's counters know of, and whether their guests made accesses that a log should hold. */
async function loggedVms(stats: string): Promise<number> {
	let vms = 0;
	let guestAccesses = 0;
	for await (const lines of readLines(stats, { name: "", sha256: "" })) {
		for (const { text, complete } of lines) {
			if (text.trim() === "" || !complete) continue;
			let row: { config?: { vms?: number }; guest_n?: number };
			try {
				row = JSON.parse(text) as typeof row;
			} catch {
				// The importer reads this file again and says where it is wrong.
				return 0;
			}
			vms = row.config?.vms ?? vms;
			guestAccesses += row.guest_n ?? 0;
		}
	}
	return guestAccesses > 0 ? vms : 0;
}

/**
 * What is missing if the counters speak of more VMs with accesses than there are access logs; null if nothing is.
 * @throws BadInputError unless `lenient`
 */
export async function missingLogs(
	sources: { readonly access: readonly string[] } & Pick<ImportOptions, "stats" | "lenient">,
): Promise<string | null> {
	if (sources.stats === undefined) return null;
	const vms = await loggedVms(sources.stats);
	const missing = vms - sources.access.length;
	if (missing <= 0) return null;
	const what = `${missing} of ${vms} access logs are missing: the counters tell of accesses by ${vms} VMs`;
	if (sources.lenient) return what;
	throw new BadInputError(what, {
		where: sources.stats,
		hint: "name each log with --access, or pass --lenient to make accesses of the observed faults",
	});
}
