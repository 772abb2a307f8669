// DAMON's tracepoint damon_aggregated, in any of the text forms that a tracer prints: for each region of a target, in how many of an aggregation
// interval's checks the page that was looked at had been accessed. Not accesses but samples of them: each becomes one read of the region.
import { Access } from "../trace/kinds.js";
import { RegionLine } from "./regionline.js";
import { headLines, type LineFormat, type LineKind } from "./streamtext.js";
import type { StreamVm } from "./streamvm.js";

/** `target_id=0 nr_regions=11 94000-95000: 3 12`; the age came later. Addresses are decimal. */
const REGION = /(\d+)\.(\d+): (?:damon:)?damon_aggregated:\s+target_id=(\d+) nr_regions=\d+ (\d+)-(\d+): (\d+)(?: (\d+))?\s*$/;
/** An event line of something else. */
const OTHER_EVENT = /\d\.\d+: [\w:]+:/;
const LOST = /^CPU:\d+ \[LOST (\d+) EVENTS\]/;
const HEADER = /^(#|cpus=\d|version = \d|CPU \d+ is empty|\s*$)/;

/** Checks of an interval: 20 by default; nobody has this many. */
const MAX_CHECKS = 100_000;
const PAGE = 4096;
const SEED = 0x6d6d;

/** Whether the head of a source is text of damon_aggregated, and of no other event. */
export function looksLikeDamon(head: Uint8Array): boolean {
	const events = headLines(head, 200).filter((line) => OTHER_EVENT.test(line));
	return events.length > 0 && events.every((line) => / (?:damon:)?damon_\w+:/.test(line));
}

export class DamonLines implements LineFormat {
	readonly what = "not a line of damon_aggregated";
	readonly hint = "mmreplay import --lenient leaves such lines out";
	readonly #vm: StreamVm;
	/** Only the first target's: others have another address space. */
	#target: string | undefined;
	/** The same, where it is a number as it is printed. */
	#targetNumber = -1;
	readonly #region = new RegionLine();
	#firstNs = -1;
	/** Of the last line, since the first. */
	ns = 0;
	regions = 0;
	/** Region lines of other targets. */
	otherTargets = 0;
	/** Events that the tracer lost. */
	lost = 0;

	constructor(vm: StreamVm) {
		this.#vm = vm;
	}

	get target(): string {
		return this.#target ?? "";
	}

	line(bytes: Uint8Array, from: number, to: number): LineKind {
		const region = this.#region;
		if (region.read(bytes, from, to)) {
			const { seconds, fraction, fractionDigits, target, start, end, checks } = region;
			if (!isRegion(start, end, checks)) return "foreign";
			if (this.#target === undefined || target === this.#targetNumber) {
				this.#targetNumber = target;
				this.#target ??= String(target);
				return this.#take(seconds * 1e9 + fraction * 10 ** (9 - fractionDigits), start, end, checks);
			}
		}
		return this.#text(bytes, from, to);
	}

	/** As `line`, whatever it looks like. */
	#text(bytes: Uint8Array, from: number, to: number): LineKind {
		const text = Buffer.from(bytes.subarray(from, to)).toString("latin1");
		const region = REGION.exec(text);
		if (region === null) return this.#other(text);
		const [, seconds = "", fraction = "", target = "", start = "", end = "", checks = ""] = region;
		if (!isRegion(Number(start), Number(end), Number(checks)) || fraction.length > 9) return "foreign";
		if (this.#target === undefined) {
			this.#target = target;
			this.#targetNumber = String(Number(target)) === target ? Number(target) : -1;
		}
		if (target !== this.#target) {
			this.otherTargets++;
			return "taken";
		}
		return this.#take(Number(seconds) * 1e9 + Number(fraction.padEnd(9, "0")), Number(start), Number(end), Number(checks));
	}

	#take(ns: number, start: number, end: number, found: number): LineKind {
		if (!isRegion(start, end, found) || !Number.isSafeInteger(ns)) return "foreign";
		const first = Math.floor(start / PAGE);
		const pages = Math.floor(end / PAGE) - first;
		this.#time(ns);
		this.regions++;
		for (let check = 0; check < found; check++) {
			this.#vm.access(0, Access.guestRead, first + Math.floor(draw(this.regions, check) * pages), 0);
		}
		return "taken";
	}

	#time(ns: number): void {
		if (this.#firstNs < 0) this.#firstNs = ns;
		this.ns = Math.max(this.ns, ns - this.#firstNs);
		this.#vm.ns = this.ns;
	}

	#other(text: string): LineKind {
		const lost = LOST.exec(text);
		if (lost !== null) {
			this.lost += Number(lost[1]);
			return "noise";
		}
		if (HEADER.test(text)) return "noise";
		return OTHER_EVENT.test(text) && !text.includes("damon_aggregated") ? "noise" : "foreign";
	}
}

function isRegion(start: number, end: number, checks: number): boolean {
	return Math.floor(end / PAGE) > Math.floor(start / PAGE) && end <= 2 ** 48 && checks <= MAX_CHECKS;
}

/** 0 to 1, by the number of the line and of the check. */
function draw(line: number, check: number): number {
	let x = Math.imul(line, 0x9e37_79b1) ^ Math.imul(check + 1, 0x85eb_ca6b) ^ SEED;
	x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
	x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
	return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}
