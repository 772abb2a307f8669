// Definitions of probes: lines of /sys/kernel/tracing/kprobe_events, alone or in an events.txt as the rig writes it
// ("kprobe p:kp/mn_range_start __mmu_notifier_invalidate_range_start mm=+8($arg1):x64 …"). Documentation/trace/kprobetrace.rst.
import { BadInputError } from "../errors.js";
import { readLines } from "./input.js";
import { plainSymbol } from "./symbols.js";

export interface ProbeDefinition {
	readonly name: string;
	readonly symbol: string;
	readonly returns: boolean;
	/** Field → its fetch expression, arguments as $argN. */
	readonly fetches: ReadonlyMap<string, string>;
}

const DEFINITION = /^(?:kprobe\s+)?([prf])\d*(?::(?:([\w.-]+)\/)?([\w.]*))?\s+(\S+)(?:\s+(.*))?$/;
const ABSENT = /^(?:kprobe\s+)?absent(?:\(inlined\))?\s+(\S+)$/;

/** Registers of the x86-64 calling convention. */
const REGISTERS: Readonly<Record<string, string>> = {
	"%di": "$arg1",
	"%si": "$arg2",
	"%dx": "$arg3",
	"%cx": "$arg4",
	"%r8": "$arg5",
	"%r9": "$arg6",
	"%ax": "$retval",
};

/** An expression without its type, registers as arguments, offsets in decimal. */
function fetchOf(text: string): string {
	return text
		.replace(/:\w+(\[\d+\])?$/, "")
		.replace(/%(?:di|si|dx|cx|r8|r9|ax)\b/g, (register) => REGISTERS[register] ?? register)
		.replace(/\+0x([0-9a-f]+)\(/gi, (_all, digits: string) => `+${Number.parseInt(digits, 16)}(`);
}

/** One line; undefined where it defines no probe. */
export function parseDefinition(line: string): ProbeDefinition | undefined {
	const match = DEFINITION.exec(line.trim());
	if (match === null) return undefined;
	const [, kind = "p", , given = "", target = "", args = ""] = match;
	const returns = kind === "r" || target.endsWith("%return");
	const [bare = ""] = target.replace(/%return$/, "").split("+");
	const symbol = plainSymbol(bare);
	const name = given !== "" ? given : `${returns ? "r" : "p"}_${symbol}_0`;
	const fetches = new Map<string, string>();
	let unnamed = 0;
	for (const arg of args.split(/\s+/)) {
		if (arg === "") continue;
		unnamed++;
		const equals = arg.indexOf("=");
		if (equals > 0) fetches.set(arg.slice(0, equals), fetchOf(arg.slice(equals + 1)));
		else fetches.set(`arg${unnamed}`, fetchOf(arg));
	}
	return { name, symbol, returns, fetches };
}

export interface ProbeDefinitions {
	readonly byName: ReadonlyMap<string, ProbeDefinition>;
	/** Functions that the captured kernel has inlined, as the recipe noted. */
	readonly absent: ReadonlySet<string>;
}

export const NO_DEFINITIONS: ProbeDefinitions = { byName: new Map(), absent: new Set() };

/** @throws BadInputError where a name is defined twice with different symbols */
export async function readDefinitions(path: string): Promise<ProbeDefinitions> {
	const byName = new Map<string, ProbeDefinition>();
	const absent = new Set<string>();
	for await (const lines of readLines(path, { name: "", sha256: "" })) {
		for (const { text, number } of lines) {
			const gone = ABSENT.exec(text.trim());
			if (gone !== null) {
				absent.add(plainSymbol(gone[1] ?? ""));
				continue;
			}
			const probe = parseDefinition(text);
			if (probe === undefined) continue;
			const before = byName.get(probe.name);
			if (before !== undefined && before.symbol !== probe.symbol)
				throw new BadInputError(`${probe.name} is defined on ${before.symbol} and on ${probe.symbol}`, {
					where: `${path}, line ${number}`,
				});
			byName.set(probe.name, probe);
		}
	}
	return { byName, absent };
}
