// Random small programs over the operations: what the search explores. Two to four threads, one or two steps each, on one page, sometimes two.
import { Random } from "./random.js";
import { RULES } from "./rules.js";
import type { FrameSpec, Mapping, PageSpec, Scenario, Statement, ThreadKind, ThreadSpec } from "./scenario.js";

/** How often each kind of thread is drawn, in hundredths, once there is a host thread. */
const KINDS: readonly (readonly [ThreadKind, number])[] = [
	["host", 34],
	["vcpu", 34],
	["ksmd", 12],
	["mirror", 8],
	["sva", 8],
	["dma", 4],
];

/** Program number `number` of a seed. */
export function generateScenario(seed: number, number: number): Scenario {
	return new Generator(new Random(seed * 0x9e3779b1 + number)).scenario(`p${number}`);
}

class Generator {
	readonly #random: Random;
	readonly #frames: FrameSpec[] = [];
	#pages: PageSpec[] = [];
	/** Every write has a value of its own, so that a stale read shows. */
	#values = 0;
	#registers = 0;
	/** Somebody pins pages. */
	#pinned = false;
	/**
	 * There is an SVA device, and there is ksmd. An SVA device beside KSM only reads: what it writes during a write_protect_page may be lost under the
	 * rule of 4.15 to 6.5, which is wrapped's and flag's. That finding of this search has become litmus n3.
	 */
	#devices = false;
	#merging = false;

	constructor(random: Random) {
		this.#random = random;
	}

	scenario(name: string): Scenario {
		const random = this.#random;
		const kinds: ThreadKind[] = ["host"];
		for (let more = 1 + random.below(3); more > 0; more--) kinds.push(this.#kind(kinds));
		this.#pinned = kinds.includes("dma");
		this.#devices = kinds.includes("sva");
		this.#merging = kinds.includes("ksmd");
		this.#pages = (random.chance(12) ? ["v", "w"] : ["v"]).map((page) => this.#page(page, kinds));
		const threads = kinds.map((kind, at): ThreadSpec => ({ name: `T${at}`, kind, about: "", statements: this.#statements(kind) }));
		if (threads.some(({ statements }) => statements.some((statement) => statement.do === "merge")))
			this.#frames.push({ name: "K", kind: "ksm", value: 0, held: true });
		return {
			file: "",
			name,
			title: "",
			source: "",
			frames: this.#frames,
			pages: this.#pages,
			threads,
			forbidden: { is: "any", of: RULES.map((rule) => ({ is: "rule", rule })) },
			allowed: [],
			without: [],
		};
	}

	#kind(so: readonly ThreadKind[]): ThreadKind {
		const drawn = (): ThreadKind => {
			let at = this.#random.below(100);
			for (const [kind, weight] of KINDS) {
				if (at < weight) return kind;
				at -= weight;
			}
			return "host";
		};
		const kind = drawn();
		// There is one ksmd, and one device of each class is enough.
		return kind !== "host" && kind !== "vcpu" && so.includes(kind) ? "host" : kind;
	}

	#page(name: string, kinds: readonly ThreadKind[]): PageSpec {
		const random = this.#random;
		const frame = name === "v" ? "A" : "B";
		const kind = random.pick(["private", "private", "shared", "ksm"] as const);
		this.#frames.push({ name: frame, kind, value: 0, held: kind === "ksm" && random.chance(50) });
		const writable = kind === "private" && random.chance(70);
		const entry: Mapping = { frame, writable };
		const often = (who: ThreadKind, percent: number): Mapping => (kinds.includes(who) && random.chance(percent) ? entry : null);
		return { name, pte: entry, spte: often("vcpu", 70), mirror: often("mirror", 70), device: often("sva", 70) };
	}

	#statements(kind: ThreadKind): Statement[] {
		const page = (): string => this.#random.pick(this.#pages).name;
		if (kind === "dma") {
			const pinned = page();
			return [
				{ do: "pin", page: pinned, line: 0 },
				{ do: "dma", page: pinned, value: ++this.#values, line: 0 },
				{ do: "unpin", page: pinned, line: 0 },
			];
		}
		if (kind === "ksmd") return [{ do: "merge", page: page(), frame: "K", line: 0 }];
		return Array.from({ length: 1 + this.#random.below(2) }, () =>
			kind === "host" ? this.#hostStep(page()) : this.#access(page(), kind === "sva" && this.#merging),
		);
	}

	#access(page: string, readOnly: boolean): Statement {
		return readOnly || this.#random.chance(60)
			? { do: "read", page, register: `r${++this.#registers}`, line: 0 }
			: { do: "write", page, value: ++this.#values, line: 0 };
	}

	#hostStep(page: string): Statement {
		// DMA into a page whose address was unmapped meanwhile is lost on every kernel, and by right.
		const zaps = this.#pinned ? [] : (["zap", "zap", "reclaim"] as const);
		const protects = this.#devices ? [] : (["ksm-write-protect"] as const);
		const operation = this.#random.pick([...zaps, "cow", "unshare", "protect", ...protects] as const);
		if (this.#random.chance(55)) return this.#access(page, false);
		return { do: "operation", operation, page, earlyFree: operation === "zap" && this.#random.chance(50), steps: null, line: 0 };
	}
}
