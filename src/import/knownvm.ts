// VMs and memslots as they are known before the first event: from a file (--memslots) or inferred.
import { BadInputError } from "../errors.js";
import { hexNumber } from "./event.js";
import { readLines } from "./input.js";
import { PAGE } from "./tracefs.js";

/** No pointer, or one that is not known. */
export const NO_POINTER = 0;

export interface KnownSlot {
	readonly slot: number;
	/** Address space: 1 is SMM. */
	readonly as: number;
	readonly gfn: number;
	/** First hva page. */
	readonly page: number;
	readonly pages: number;
	/** KVM_MEM_*. */
	readonly flags: number;
}

export interface KnownVm {
	readonly vm: number;
	/** Thread group of the VMM, or its only task; -1 if it is not known. */
	readonly pid: number;
	/** mm as the probes print it; NO_POINTER if it is not known. */
	readonly mm: number;
	/** Tasks that belong to it besides `pid`. */
	readonly tasks: readonly number[];
	readonly slots: readonly KnownSlot[];
}

const VM = /^(?:#\s*)?vm\s*(\d+)\b(.*)$/;
const SLOT =
	/^(?:#\s*)?slot\s+(\d+)\s+gpa\s+(0x[0-9a-f]+)(?:\s*-\s*(0x[0-9a-f]+))?\s+hva\s+(0x[0-9a-f]+)(?:\s*-\s*(0x[0-9a-f]+))?(?:\s+size\s+(0x[0-9a-f]+))?(?:\s+flags\s+(0x[0-9a-f]+))?\s*$/i;

const after = (text: string, key: string): string | undefined => new RegExp(`\\b${key}\\s+(\\S+)`).exec(text)?.[1];

/**
 * The file of --memslots: `vm0 pid 121 mm 0xffff… [tasks 130,132]`, then a line for each of its slots,
 * `slot 0 gpa 0x0 - 0xc3000 hva 0x7f3bdfe00000 - 0x7f3bdfec3000 flags 0x0` or `slot 0 gpa 0x0 hva 0x7f3bdfe00000 size 0xc3000`; slot numbers from
 * 65536 are address space 1. Other lines are comments if they begin with #. Throws BadInputError where lengths disagree or nothing is page aligned.
 */
export async function readMemslots(path: string): Promise<KnownVm[]> {
	const vms: (KnownVm & { slots: KnownSlot[] })[] = [];
	for await (const lines of readLines(path, { name: "", sha256: "" })) {
		for (const { text, number } of lines) {
			const where = `${path}, line ${number}`;
			const line = text.trim();
			const slot = SLOT.exec(line);
			const vm = VM.exec(line);
			if (slot !== null) {
				const last = vms.at(-1);
				if (last === undefined) throw new BadInputError("a slot before any vm", { where });
				last.slots.push(slotOf(slot, where));
			} else if (vm !== null) {
				const rest = vm[2] ?? "";
				const id = Number(vm[1]);
				if (vms.some((other) => other.vm === id)) throw new BadInputError(`vm ${id} twice`, { where });
				const tasks = (after(rest, "tasks?") ?? "").split(",").filter((task) => task !== "");
				if (tasks.some((task) => !/^\d+$/.test(task))) throw new BadInputError("tasks are a list of thread ids: tasks 130,132", { where });
				vms.push({ vm: id, pid: Number(after(rest, "pid") ?? -1), mm: mmOf(rest, where), tasks: tasks.map(Number), slots: [] });
			} else if (line !== "" && !line.startsWith("#"))
				throw new BadInputError("neither a vm nor a slot", {
					where,
					hint: "vm0 pid 121 mm 0xffff8881000d16c0, then slot 0 gpa 0x0 - 0xc3000 hva 0x7f3bdfe00000 - 0x7f3bdfec3000",
				});
		}
	}
	const empty = vms.find((vm) => vm.slots.length === 0);
	if (vms.length === 0 || empty !== undefined)
		throw new BadInputError(empty === undefined ? "no vm in the file" : `no slots of vm ${empty.vm}`, { where: path });
	return vms;
}

/** @throws BadInputError where it is no pointer */
function mmOf(rest: string, where: string): number {
	const given = after(rest, "mm");
	if (given === undefined) return NO_POINTER;
	const mm = hexNumber(given);
	if (Number.isNaN(mm))
		throw new BadInputError(`mm ${given} is no pointer`, { where, hint: "as the probes print it: mm 0xffff8881000d16c0" });
	return mm;
}

function slotOf(match: RegExpExecArray, where: string): KnownSlot {
	const [, id, gpa, gpaEnd, hva, hvaEnd, size, flags] = match;
	const lengths = [
		gpaEnd === undefined ? undefined : Number(gpaEnd) - Number(gpa),
		hvaEnd === undefined ? undefined : Number(hvaEnd) - Number(hva),
	];
	if (size !== undefined) lengths.push(Number(size));
	const [bytes, ...others] = lengths.filter((length) => length !== undefined);
	if (bytes === undefined) throw new BadInputError("a slot without its length (gpa A - B, or size)", { where });
	if (others.some((other) => other !== bytes)) throw new BadInputError("the slot's gpa and hva ranges differ in length", { where });
	if ([Number(gpa), Number(hva), bytes].some((value) => value % PAGE !== 0) || bytes <= 0)
		throw new BadInputError("a slot that is not made of whole pages", { where });
	const number = Number(id);
	return {
		slot: number % 65536,
		as: Math.floor(number / 65536),
		gfn: Number(gpa) / PAGE,
		page: Number(hva) / PAGE,
		pages: bytes / PAGE,
		flags: Number(flags ?? 0),
	};
}
