// What an event of a source means, whatever its maker called it: a tracepoint by its name, a kprobe by the symbol in its line, by its definition,
// or by a name of our own recipes; anything else is asked about, never guessed.
import { BadInputError } from "../errors.js";
import { Code, type EventShape, SHAPES } from "./event.js";
import type { ProbeDefinition, ProbeDefinitions } from "./probes.js";
import { isOldRange, RANGE_LAYOUTS } from "./profiles.js";
import { PROBED, type ProbeMeaning, plainSymbol, RECIPE_NAMES } from "./symbols.js";
import { type Template, templateOf } from "./template.js";
import { field, type TracefsEvent } from "./tracefs.js";
import { type Rewrite, TRACEPOINTS, WITHOUT_MEANING } from "./tracepoints.js";

/** A recognised event: its name in the tracker's grammar; rewrite null where its text is already the tracker's. */
interface Recognised {
	readonly event: string;
	readonly rewrite: Rewrite | null;
	/** Names that the tracker's fields have in its lines; null: their own, or another form altogether. */
	readonly given: ReadonlyMap<string, string> | null;
}

interface Probe {
	readonly symbol: string;
	readonly returns: boolean;
	readonly definition: ProbeDefinition | undefined;
}

/** (wp_page_copy+0x0/0x730), (__handle_mm_fault+0xbb8/0x1420 <- wp_page_copy), (ffffffff812ca540), (f <- r) of addresses. */
const HEAD = /^\(([^\s)]+)(?: <- ([^\s)]+))?\)/;
const ADDRESS = /^(?:0x)?[0-9a-f]{8,16}$/;
const AUTO_NAME = /^([pr])_(\w+?)_(?:0x)?[0-9a-f]+$/;

/** The fields of a tracepoint's line that has all of them; null where it does not. */
function fieldsOf(text: string, fields: Readonly<Record<string, string>> | undefined): ReadonlyMap<string, string> | null {
	const pairs = Object.entries(fields ?? {});
	return pairs.length > 0 && pairs.every(([, name]) => field(text, name) !== undefined) ? new Map(pairs) : null;
}

/** An event of which only its place is known. */
const NO_FIELDS: ReadonlyMap<string, string> = new Map();
const NOTHING: EventShape = { code: Code.silent, style: "fields", values: [], text: false };

const isProbeText = (text: string): boolean => HEAD.test(text) || text.startsWith("__probe_ip=") || text.startsWith("__probe_func=");

/** An address-like number as the tracker reads it: hex with 0x. */
function asHex(value: string): string {
	if (value.startsWith("0x")) return value;
	try {
		return `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
	} catch {
		return value;
	}
}

export class Recogniser {
	readonly #definitions: ProbeDefinitions;
	readonly #where: string;
	readonly #known = new Map<string, Recognised | null>();
	/** Probes whose function nothing tells, with their counts. */
	readonly asked = new Map<string, number>();
	/** Tracepoints that nobody here knows, with their counts. */
	readonly unknown = new Map<string, number>();
	/** Probes taken by the name alone, because neither a symbol nor a definition tells. */
	readonly byName = new Set<string>();
	/** Functions of which a probe was seen. */
	readonly symbols = new Set<string>();
	/** Layout of struct mmu_notifier_range that the probes were defined for; "" if nothing tells. */
	rangeLayout: "old" | "new" | "" = "";

	constructor(definitions: ProbeDefinitions, where: string) {
		this.#definitions = definitions;
		this.#where = where;
	}

	/** The event in the tracker's words; null where it has no meaning. @throws BadInputError where a probe lacks what it must have */
	recognise(event: TracefsEvent): TracefsEvent | null {
		let known = this.#known.get(event.name);
		if (known === undefined) {
			known = this.#look(event);
			this.#known.set(event.name, known);
		}
		if (known === null) {
			this.count(event.name, 1);
			return null;
		}
		if (known.rewrite === null && known.event === event.name) return event;
		return { ...event, name: known.event, text: known.rewrite === null ? event.text : known.rewrite(event.text) };
	}

	/** Where the tracker's values of such events are; null where their text has to tell. After `recognise` of an event. */
	values({ name }: TracefsEvent): { readonly shape: EventShape; readonly given: ReadonlyMap<string, string> } | null {
		const known = this.#known.get(name);
		const shape = SHAPES.get(known?.event ?? "");
		if (known === undefined || known === null) return null;
		if (shape === undefined) return { shape: NOTHING, given: NO_FIELDS };
		return shape.values.length === 0 && !shape.text
			? { shape, given: NO_FIELDS }
			: known.given === null
				? null
				: { shape, given: known.given };
	}

	/** The bytes of such lines, read without their text; null where that cannot be. After `recognise` of an event. */
	template({ name, text }: TracefsEvent): Template | null {
		const known = this.#known.get(name);
		if (known === undefined || known === null) return null;
		const shape = SHAPES.get(known.event);
		if (shape === undefined) return templateOf(text, NOTHING, null);
		return known.rewrite === null || known.given !== null ? templateOf(text, shape, known.given) : null;
	}

	/** After `recognise` of an event of that name. */
	isWithoutMeaning(name: string): boolean {
		return this.#known.get(name) === null;
	}

	/** More events of a name that has no meaning. */
	count(name: string, events: number): void {
		for (const tally of [this.asked, this.unknown]) {
			const count = tally.get(name);
			if (count !== undefined) tally.set(name, count + events);
		}
	}

	#look(event: TracefsEvent): Recognised | null {
		const { name, text } = event;
		const tracepoint = TRACEPOINTS[name];
		if (tracepoint !== undefined && !isProbeText(text)) {
			const rewrite = tracepoint.form(text);
			const asIs = rewrite(text) === text && tracepoint.event === name;
			return { event: tracepoint.event, rewrite: asIs ? null : rewrite, given: asIs ? null : fieldsOf(text, tracepoint.fields) };
		}
		const probe = this.#probe(name, text);
		if (probe === undefined) {
			if (isProbeText(text)) this.asked.set(name, 0);
			else if (!WITHOUT_MEANING.has(name)) this.unknown.set(name, 0);
			return null;
		}
		const probed = PROBED[probe.symbol];
		if (probed === undefined) return null;
		this.symbols.add(probe.returns ? `${probe.symbol}%return` : probe.symbol);
		const meaning = probe.returns ? probed.return : probed.entry;
		return meaning === undefined ? null : this.#fields(name, text, probe, meaning);
	}

	/** The probed function: by the line, by the definitions, by the names of our recipes; undefined: nothing tells. */
	#probe(name: string, text: string): Probe | undefined {
		const definition = this.#definitions.byName.get(name);
		const head = HEAD.exec(text);
		if (head !== null) {
			const [, first = "", second] = head;
			// The kernel's text has the function behind the arrow; trace-cmd's and perf's have it before, as an address.
			const target = second !== undefined && !ADDRESS.test(second) ? second : first;
			if (!ADDRESS.test(target)) return { symbol: plainSymbol(target.split("+")[0] ?? ""), returns: second !== undefined, definition };
		}
		if (definition !== undefined) return { symbol: definition.symbol, returns: definition.returns, definition };
		const returns = (head !== null && head[2] !== undefined) || text.startsWith("__probe_func=");
		const auto = AUTO_NAME.exec(name);
		const plain = plainSymbol(auto?.[2] ?? name.replace(/__return$|_\d+$/, ""));
		if (PROBED[plain] !== undefined) {
			if (isProbeText(text)) this.byName.add(name);
			return { symbol: plain, returns: returns || auto?.[1] === "r" || name.endsWith("__return"), definition };
		}
		const recipe = RECIPE_NAMES[name];
		if (recipe === undefined) return undefined;
		if (isProbeText(text)) this.byName.add(name);
		return { ...recipe, definition };
	}

	#fields(name: string, text: string, probe: Probe, meaning: ProbeMeaning): Recognised {
		const source = new Map<string, string>();
		const fetched = this.#fetched(text, probe, meaning);
		for (const [canonical, names] of Object.entries(meaning.fields)) {
			const given = names.find((candidate) => field(text, candidate) !== undefined) ?? fetched.get(canonical);
			if (given !== undefined) source.set(canonical, given);
		}
		const missing = meaning.required.filter((canonical) => !source.has(canonical));
		if (missing.length > 0)
			throw new BadInputError(`the probe ${name} on ${probe.symbol} shows no ${missing.join(", no ")}: "${text.slice(0, 120)}"`, {
				where: this.#where,
				hint: "--events FILE with the probe's definition (a line of kprobe_events) tells which field is which",
			});
		const decimal = new Set(["ret", "event"]);
		const asIs = [...source].every(
			([canonical, given]) => canonical === given && (decimal.has(canonical) || (field(text, given) ?? "").startsWith("0x")),
		);
		if (asIs) {
			const { values = [] } = SHAPES.get(meaning.event) ?? {};
			return { event: meaning.event, rewrite: null, given: new Map(values.map(({ key }) => [key, key])) };
		}
		const pairs = [...source];
		return {
			event: meaning.event,
			given: source,
			rewrite: (line) =>
				pairs
					.map(([canonical, given]) => {
						const value = field(line, given) ?? "";
						return `${canonical}=${decimal.has(canonical) ? value : asHex(value)}`;
					})
					.join(" "),
		};
	}

	/** Canonical field → the name that the probe's own definition gives it. */
	#fetched(text: string, { symbol, definition }: Probe, meaning: ProbeMeaning): ReadonlyMap<string, string> {
		const found = new Map<string, string>();
		if (definition === undefined) return found;
		let table = meaning.fetched;
		if (meaning.event === "mn_range_start" || meaning.event === "mn_range_end") {
			const layout = isOldRange(definition.fetches, (name) => field(text, name)) ? "old" : "new";
			if (symbol.endsWith("_start")) this.rangeLayout = layout;
			table = RANGE_LAYOUTS[layout];
		}
		for (const [name, fetch] of definition.fetches) {
			const canonical = table[fetch];
			if (canonical !== undefined) found.set(canonical, name);
		}
		return found;
	}
}
