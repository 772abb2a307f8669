// A KSM pattern laid over an access stream (`--overlay ksm:…`): what ksmd would do to a VM whose pages have equal content as often as we are
// told. The accesses are real; the merges are made up, by the rules of kernel.md 1.4 and 1.5 and by the dice of a seed. docs/capture.md, "Overlay".
import { UsageError } from "../errors.js";
import { type OperationName, OpFlag, Point } from "../trace/kinds.js";
import type { TouchedPages } from "./touchedpages.js";

export interface OverlaySpec {
	/** Chance that the content of a page that has come to rest is one of a class of equal ones. 0 to 1. */
	readonly duplicates: number;
	/** Pages of a class, on average. At least 2. */
	readonly sharing: number;
	/** Pages that ksmd looks at in every 1000 accesses; auto: 4, or what makes a full scan of 250 000 accesses if that is more. */
	readonly scan: number | "auto";
	/** Chance that a thread of the VMM has stored to a merged page since ksmd last came by. 0 to 1. */
	readonly cow: number;
	readonly seed: number;
}

export const OVERLAY_DEFAULTS: OverlaySpec = { duplicates: 0.4, sharing: 6, scan: "auto", cow: 0.01, seed: 1 };

const AUTO_SCAN = 4;
const AUTO_PASS = 250_000;

const RANGES: Readonly<Record<keyof OverlaySpec, readonly [least: number, most: number]>> = {
	duplicates: [0, 1],
	sharing: [2, 65536],
	scan: [0, 1000],
	cow: [0, 1],
	seed: [0, 0xffff_ffff],
};
const SHAPE = "ksm:duplicates=0.4,sharing=6,scan=auto,cow=0.01,seed=1";

/** `ksm:key=value,…`; what is not told has its default. @throws UsageError */
export function parseOverlay(text: string): OverlaySpec {
	const [kind, list = "", ...rest] = text.split(":");
	const where = `--overlay ${text}`;
	if (kind !== "ksm" || rest.length > 0)
		throw new UsageError("an overlay is ksm, with its numbers", { where, hint: `for example ${SHAPE}` });
	const spec: { -readonly [key in keyof OverlaySpec]: OverlaySpec[key] } = { ...OVERLAY_DEFAULTS };
	for (const part of list.split(",").filter((word) => word !== "")) {
		const [key = "", value = "", ...more] = part.split("=");
		if (!isKey(key)) throw new UsageError(`the overlay has no ${key}`, { where, hint: `it has ${Object.keys(RANGES).join(", ")}` });
		if (key === "scan" && value === "auto") {
			spec.scan = value;
			continue;
		}
		const number = Number(value);
		const [least, most] = RANGES[key];
		const whole = key !== "seed" || Number.isInteger(number);
		if (value.trim() === "" || more.length > 0 || !whole || !(number >= least && number <= most)) {
			throw new UsageError(`${key}=${value} is not a${whole ? "" : " whole"} number from ${least} to ${most}`, { where });
		}
		spec[key] = number;
	}
	return spec;
}

function isKey(key: string): key is keyof OverlaySpec {
	return Object.hasOwn(RANGES, key);
}

/** As parseOverlay reads it, with every number. */
export function overlayText(spec: OverlaySpec): string {
	return `ksm:${Object.entries(spec)
		.map(([key, value]) => `${key}=${value}`)
		.join(",")}`;
}

/** Where the pattern's causes go. Pages are hva page numbers. */
export interface OverlayTarget {
	kernel(name: OperationName, page: number, args: readonly number[]): void;
	hostWrite(page: number): void;
}

/** A KSM page and the PTEs that map it. */
interface StablePage {
	readonly kpage: number;
	readonly content: number;
	sharers: number;
}

/** A page that ksmd has not looked at since its last store. */
const RESTLESS = -1;
/** Content that no other page has. */
const UNIQUE = 0;

export interface OverlayCounts {
	merges: number;
	promotions: number;
	/** Merged pages that a store of the stream broke. */
	guestBreaks: number;
	hostBreaks: number;
	passes: number;
}

export class KsmOverlay {
	readonly spec: OverlaySpec;
	readonly counts: OverlayCounts = { merges: 0, promotions: 0, guestBreaks: 0, hostBreaks: 0, passes: 0 };
	readonly #pages: TouchedPages;
	readonly #target: OverlayTarget;
	/** By number of page: its content's class, UNIQUE or RESTLESS. */
	#content = new Int32Array(1 << 10).fill(RESTLESS);
	/** By number of page: how often it has come to rest; then the draws of its visits. */
	#draws = new Uint32Array(1 << 10);
	/** Merged pages, by number. */
	readonly #merged = new Map<number, StablePage>();
	/** The stable tree: the KSM page of a content. */
	readonly #stable = new Map<number, StablePage>();
	/** The unstable tree, new in every pass: a page of a content that has no KSM page. */
	readonly #unstable = new Map<number, number>();
	#kpages = 0;
	/** Number of the page that ksmd looks at next. */
	#cursor = 0;
	/** Visits that the accesses so far have earned. */
	#due = 0;

	constructor(spec: OverlaySpec, pages: TouchedPages, target: OverlayTarget) {
		this.spec = spec;
		this.#pages = pages;
		this.#target = target;
	}

	/** An access of the stream is about to happen: ksmd's work comes before it. */
	access(number: number, write: boolean): void {
		const { scan } = this.spec;
		this.#due += scan === "auto" ? Math.max(AUTO_SCAN / 1000, this.#pages.count / AUTO_PASS) : scan / 1000;
		while (this.#due >= 1) {
			this.#due--;
			this.#visitNext();
		}
		if (write) this.#stored(number);
	}

	#stored(number: number): void {
		if (number >= this.#content.length) this.#grow(number);
		this.#content[number] = RESTLESS;
		if (this.#merged.size > 0 && this.#unmerge(number)) this.counts.guestBreaks++;
	}

	/** The page has a copy of its own again: the model makes that of the store. */
	#unmerge(number: number): boolean {
		const stable = this.#merged.get(number);
		if (stable === undefined) return false;
		this.#merged.delete(number);
		if (--stable.sharers === 0) this.#stable.delete(stable.content);
		return true;
	}

	#visitNext(): void {
		const { count } = this.#pages;
		if (count === 0) return;
		if (this.#cursor >= count) {
			this.#cursor = 0;
			this.#unstable.clear();
			this.counts.passes++;
		}
		const number = this.#cursor++;
		if (number >= this.#content.length) this.#grow(count);
		this.#visit(number);
	}

	#visit(number: number): void {
		const { spec } = this;
		if (this.#merged.has(number)) {
			if (this.#draw(number) >= spec.cow) return;
			this.#target.hostWrite(this.#pages.page(number));
			this.#unmerge(number);
			this.counts.hostBreaks++;
			this.#content[number] = RESTLESS;
			return;
		}
		const content = this.#content[number];
		if (content === RESTLESS) {
			// Its checksum is not that of the last pass: ksmd leaves it alone until it is.
			this.#content[number] = this.#draw(number) < spec.duplicates ? this.#drawClass(number) : UNIQUE;
			return;
		}
		if (content === UNIQUE) return;
		const stable = this.#stable.get(content);
		if (stable !== undefined) this.#join(number, stable);
		else this.#meet(number, content);
	}

	/** Classes grow in number with the pages, so that each has `sharing` pages on average. */
	#drawClass(number: number): number {
		const { duplicates, sharing } = this.spec;
		const classes = Math.max(1, Math.round((duplicates * this.#pages.count) / sharing));
		return 1 + Math.floor(this.#draw(number) * classes);
	}

	/** Into a KSM page that exists: two brackets. */
	#join(number: number, stable: StablePage): void {
		const page = this.#pages.page(number);
		this.#target.kernel("ksmWriteProtect", page, [Point.whole, 0, OpFlag.kpageGiven]);
		this.#target.kernel("ksmReplace", page, [Point.whole, 0, 0, stable.kpage]);
		stable.sharers++;
		this.#merged.set(number, stable);
		this.counts.merges++;
	}

	/** Two pages of one content: the one at hand becomes the KSM page, the one of the unstable tree joins it. Three brackets. */
	#meet(number: number, content: number): void {
		const other = this.#unstable.get(content);
		if (other === undefined || other === number || this.#merged.has(other) || this.#content[other] !== content) {
			this.#unstable.set(content, number);
			return;
		}
		this.#unstable.delete(content);
		const page = this.#pages.page(number);
		const stable: StablePage = { kpage: ++this.#kpages, content, sharers: 1 };
		this.#target.kernel("ksmWriteProtect", page, [Point.whole, 0, 0]);
		this.#target.kernel("ksmPromote", page, [stable.kpage, 0]);
		this.#stable.set(content, stable);
		this.#merged.set(number, stable);
		this.counts.promotions++;
		this.#join(other, stable);
	}

	/** 0 to 1: by seed, page and how many draws the page has had, so that it does not depend on what other pages do. */
	#draw(number: number): number {
		const page = this.#pages.page(number);
		const draws = this.#draws[number] + 1;
		this.#draws[number] = draws;
		const low = mix((page >>> 0) ^ mix(Math.floor(page / 2 ** 32) ^ mix(this.spec.seed)));
		return mix(low ^ Math.imul(draws, 0x9e37_79b1)) / 2 ** 32;
	}

	#grow(number: number): void {
		const length = 2 ** Math.ceil(Math.log2(number + 1));
		const content = new Int32Array(length).fill(RESTLESS);
		content.set(this.#content);
		this.#content = content;
		const draws = new Uint32Array(length);
		draws.set(this.#draws);
		this.#draws = draws;
	}
}

/** A 32-bit finalizer: every bit of the result depends on every bit of the input. */
function mix(value: number): number {
	let x = value >>> 0;
	x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
	x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
	return (x ^ (x >>> 16)) >>> 0;
}
