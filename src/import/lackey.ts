// valgrind --tool=lackey --trace-mem=yes: one line an access (`I  addr,size`, ` L addr,size`, ` S …`, ` M …`; hexadecimal without 0x), no thread,
// no time, virtual addresses; M is a load and a store. Beside it `==pid==` lines of valgrind's own. formats.md section 4.
import { Access } from "../trace/kinds.js";
import { decimal, headLines, hexAddress, type LineFormat, type LineKind } from "./streamtext.js";
import type { StreamVm } from "./streamvm.js";

const SPACE = 32;
const COMMA = 44;
const [I, L, M, S] = [73, 76, 77, 83] as const;
const [EQUALS, MINUS, STAR] = [61, 45, 42] as const;

/** valgrind's own lines: ==pid== messages, --pid-- debugging, **pid** what the program asked it to print. */
const OWN = /^(==|--|\*\*)\d+\1/;
const ACCESS = /^(I {2}| [LMS] )[0-9a-f]+,\d+$/;

/** Whether the head of a source is lackey's: its accesses, or valgrind's banner that names it. */
export function looksLikeLackey(head: Uint8Array): boolean {
	const lines = headLines(head).filter((line) => line !== "");
	const others = lines.filter((line) => !OWN.test(line));
	if (others.length === 0) return lines.some((line) => line.includes("Lackey"));
	return others.filter((line) => ACCESS.test(line)).length * 2 > others.length;
}

export class LackeyLines implements LineFormat {
	readonly what = "not a line of lackey's memory trace";
	readonly hint = "--log-file=FILE or --log-fd keeps the program's own output out; mmreplay import --lenient leaves such lines out";
	readonly #vm: StreamVm;

	constructor(vm: StreamVm) {
		this.#vm = vm;
	}

	line(bytes: Uint8Array, from: number, to: number): LineKind {
		if (to === from) return "noise";
		const first = bytes[from];
		const op = first === SPACE ? bytes[from + 1] : first;
		if (first === EQUALS || first === MINUS || first === STAR) return isOwn(bytes, from, to) ? "noise" : "foreign";
		if ((first === SPACE) === (op === I) || bytes[from + 2] !== SPACE) return "foreign";
		if (first === I && bytes[from + 1] !== SPACE) return "foreign";
		const comma = bytes.indexOf(COMMA, from + 3);
		if (comma < 0 || comma >= to) return "foreign";
		const address = hexAddress(bytes, from + 3, comma);
		const size = decimal(bytes, comma + 1, to);
		if (address < 0 || size < 1) return "foreign";
		const page = Math.floor(address / 4096);
		const offset = address - page * 4096;
		if (offset + size > 4096) this.#vm.crossing++;
		switch (op) {
			case I:
				this.#vm.access(0, Access.guestFetch, page, offset);
				return "taken";
			case L:
				this.#vm.access(0, Access.guestRead, page, offset);
				return "taken";
			case S:
				this.#vm.access(0, Access.guestWrite, page, offset);
				return "taken";
			case M:
				this.#vm.access(0, Access.guestRead, page, offset);
				this.#vm.access(0, Access.guestWrite, page, offset);
				return "taken";
			default:
				return "foreign";
		}
	}
}

function isOwn(bytes: Uint8Array, from: number, to: number): boolean {
	return OWN.test(Buffer.from(bytes.subarray(from, Math.min(to, from + 24))).toString("latin1"));
}
