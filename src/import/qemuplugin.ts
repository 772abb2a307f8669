// The memory log of our QEMU TCG plugin (traces/capture/qemu-plugin/mem.c): `cpu op size vaddr paddr pc`, addresses hexadecimal, op R W for RAM and
// I O for MMIO reads and writes. In user mode paddr is 0 and the virtual address counts; in system mode paddr is the guest-physical one.
import { Access } from "../trace/kinds.js";
import { decimal, headLines, hexAddress, type LineFormat, type LineKind } from "./streamtext.js";
import type { StreamVm } from "./streamvm.js";

const SPACE = 32;
const HASH = 35;
const MINUS = 45;
const [I, O, R, W] = [73, 79, 82, 87] as const;

const LINE = /^\d+ [RWIO] \d+ [0-9a-f]+ ([0-9a-f]+|-) [0-9a-f]+$/;

/** Whether the head of a source is a memory log of the plugin. */
export function looksLikeQemuPlugin(head: Uint8Array): boolean {
	const lines = headLines(head).filter((line) => line !== "" && !line.startsWith("#"));
	if (lines.length === 0) return headLines(head).some((line) => line.startsWith("# cpu op size vaddr paddr pc"));
	return lines.filter((line) => LINE.test(line)).length * 2 > lines.length;
}

export class QemuPluginLines implements LineFormat {
	readonly what = "not a line of the plugin's memory log (cpu op size vaddr paddr pc)";
	readonly hint = "mmreplay import --lenient leaves such lines out";
	readonly #vm: StreamVm;
	/** The first access tells: without a physical address it is user mode. */
	#mode: "user" | "system" | undefined;
	/** Accesses in system mode of which QEMU could not tell the physical address. */
	unplaced = 0;

	constructor(vm: StreamVm) {
		this.#vm = vm;
	}

	get mode(): "user" | "system" | undefined {
		return this.#mode;
	}

	line(bytes: Uint8Array, from: number, to: number): LineKind {
		if (to === from || bytes[from] === HASH) return "noise";
		const cpuEnd = bytes.indexOf(SPACE, from);
		const sizeEnd = bytes.indexOf(SPACE, cpuEnd + 3);
		const vaddrEnd = bytes.indexOf(SPACE, sizeEnd + 1);
		const paddrEnd = bytes.indexOf(SPACE, vaddrEnd + 1);
		if (cpuEnd < 0 || sizeEnd < 0 || vaddrEnd < 0 || paddrEnd < 0 || paddrEnd >= to || bytes[cpuEnd + 2] !== SPACE) return "foreign";
		const cpu = decimal(bytes, from, cpuEnd);
		const size = decimal(bytes, cpuEnd + 3, sizeEnd);
		const vaddr = hexAddress(bytes, sizeEnd + 1, vaddrEnd);
		const unknown = bytes[vaddrEnd + 1] === MINUS && paddrEnd === vaddrEnd + 2;
		const paddr = unknown ? 0 : hexAddress(bytes, vaddrEnd + 1, paddrEnd);
		// The program counter is no access of its own; its bits are only checked to be there.
		if (cpu < 0 || size < 1 || vaddr < 0 || paddr < 0 || hexAddress(bytes, paddrEnd + 1, to) < 0) return "foreign";
		this.#mode ??= paddr === 0 && vaddr !== 0 && !unknown ? "user" : "system";
		if (this.#mode === "user" && (paddr !== 0 || unknown)) return "foreign";
		return this.#access(bytes[cpuEnd + 1], cpu, this.#mode === "user" ? vaddr : paddr, size, unknown);
	}

	#access(op: number, cpu: number, address: number, size: number, unknown: boolean): LineKind {
		if (op !== R && op !== W && op !== I && op !== O) return "foreign";
		if (unknown) {
			this.unplaced++;
			return "taken";
		}
		const page = Math.floor(address / 4096);
		const offset = address - page * 4096;
		if (op === I || op === O) this.#vm.mmio(cpu, op === I ? Access.guestRead : Access.guestWrite, page);
		else {
			if (offset + size > 4096) this.#vm.crossing++;
			this.#vm.access(cpu, op === R ? Access.guestRead : Access.guestWrite, page, offset);
		}
		return "taken";
	}
}
