// The access log of one VM (`access.vm<N>.txt`): its memslots, and every access and host operation in order, by phase.
import { BadInputError } from "../errors.js";
import { readLines, type SourceDigest } from "./input.js";

export interface LoggedAccess {
	readonly host: boolean;
	readonly write: boolean;
	readonly gpa: number;
	readonly hva: number;
}

/** A host operation between accesses: D P p U M F K k e (data page: data/README.md). */
export interface LoggedOperation {
	readonly letter: string;
	readonly hva: number;
	readonly bytes: number;
}

interface LoggedPhase {
	readonly guest: LoggedAccess[];
	readonly host: LoggedAccess[];
	readonly operations: LoggedOperation[];
}

interface LoggedSlot {
	readonly slot: number;
	readonly gpa: number;
	readonly hva: number;
	readonly bytes: number;
}

export interface AccessLog {
	readonly vm: number;
	readonly pid: number;
	readonly slots: LoggedSlot[];
	readonly phases: Map<number, LoggedPhase>;
	readonly source: SourceDigest;
	readonly warnings: string[];
	/** Lines whose number within their phase and actor is not the next one: some are missing, doubled or out of order. */
	readonly gaps: number;
}

const VM = /^# vm (\d+) pid (\d+)/;
const SLOT = /^# slot (\d+) gpa (0x[0-9a-f]+) hva (0x[0-9a-f]+) size (0x[0-9a-f]+)/;

/** Throws BadInputError where the file is no access log or lacks its header. */
export async function readAccessLog(path: string, lenient: boolean): Promise<AccessLog> {
	const source: SourceDigest = { name: "", sha256: "" };
	const slots: LoggedSlot[] = [];
	const phases = new Map<number, LoggedPhase>();
	const warnings: string[] = [];
	let vm = -1;
	let pid = -1;
	let gaps = 0;
	for await (const lines of readLines(path, source)) {
		for (const line of lines) {
			const { text } = line;
			if (text.startsWith("#")) {
				const head = VM.exec(text);
				if (head !== null) {
					vm = Number(head[1]);
					pid = Number(head[2]);
				}
				const slot = SLOT.exec(text);
				if (slot !== null) slots.push({ slot: Number(slot[1]), gpa: Number(slot[2]), hva: Number(slot[3]), bytes: Number(slot[4]) });
				continue;
			}
			if (text === "") continue;
			const words = text.split(" ");
			const [phaseText, vmText, actor, index, letter = "", gpa, hva, value] = words;
			if (words.length !== 8 || Number.isNaN(Number(phaseText)) || Number.isNaN(Number(hva))) {
				if (!line.complete && lenient) {
					warnings.push(`${source.name || path}: the last line is cut off and was left out`);
					continue;
				}
				throw new BadInputError("not a line of an access log (phase vm actor index op gpa hva value)", {
					where: `${path}, line ${line.number}`,
					...(line.complete ? {} : { hint: "the log is cut off there; --lenient leaves that line out" }),
				});
			}
			if (Number(vmText) !== vm)
				throw new BadInputError(`an access of vm ${vmText} in the log of vm ${vm}`, { where: `${path}, line ${line.number}` });
			const number = Number(phaseText);
			let phase = phases.get(number);
			if (phase === undefined) {
				phase = { guest: [], host: [], operations: [] };
				phases.set(number, phase);
			}
			const before = actor === "guest" ? phase.guest.length : actor === "host" ? phase.host.length : Number(index);
			if (Number(index) !== before) gaps++;
			if (actor === "guest") phase.guest.push({ host: false, write: letter === "W", gpa: Number(gpa), hva: Number(hva) });
			else if (actor === "host") phase.host.push({ host: true, write: letter === "W", gpa: Number(gpa), hva: Number(hva) });
			else phase.operations.push({ letter, hva: Number(hva), bytes: Number(value) });
		}
	}
	if (vm < 0 || slots.length === 0)
		throw new BadInputError("no header with the VM and its memslots (# vm …, # slot …)", {
			where: path,
			hint: "is this an access log of the rig?",
		});
	return { vm, pid, slots, phases, source, warnings, gaps };
}
