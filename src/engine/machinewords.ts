// A machine as the words that the engine takes (MachineWord of boundary.ts).
import { type PscLevels, type SimulatedMachine, setsOf, type TlbArray, type TlbLevel } from "../machine/machine.js";
import { GuestPages, HugeEntries, MACHINE_WORDS, MachineWord, Replacing } from "./boundary.js";

const GUEST_PAGES = { host: GuestPages.host, "4k": GuestPages.small, "2m": GuestPages.huge } as const;

export function encodeMachine(machine: SimulatedMachine): Uint32Array<ArrayBuffer> {
	const words = new Uint32Array(MACHINE_WORDS);
	const array = (at: number, { ways, replacement, ...rest }: TlbArray): void =>
		words.set([setsOf({ ways, ...rest }), ways, replacement === "tree-plru" ? Replacing.treePlru : Replacing.lru], at);
	const level = (at: number, { huge = "pieces", ...small }: TlbLevel): void => {
		array(at, small);
		words[at + 3] = typeof huge === "string" ? HugeEntries[huge] : HugeEntries.own;
		if (typeof huge === "object") array(at + 4, huge);
	};
	const sizes = (at: number, { level2, level3, level4, level5 }: PscLevels): void => words.set([level2, level3, level4, level5], at);
	level(MachineWord.l1Sets, machine.tlb.l1);
	level(MachineWord.l2Sets, machine.tlb.l2);
	words[MachineWord.guestPages] = GUEST_PAGES[machine.guestPageSize ?? "host"];
	words[MachineWord.rangedFlush] = machine.flush?.guest === "ranged" ? 1 : 0;
	words[MachineWord.hostFlushPages] = machine.flush?.hostPages ?? 1;
	words[MachineWord.guestLevels] = machine.guestLevels;
	words[MachineWord.hostLevels] = machine.hostLevels;
	if (machine.psc?.used === true) {
		words[MachineWord.pscUsed] = 1;
		sizes(MachineWord.pscLinear, machine.psc.linear);
		sizes(MachineWord.pscNested, machine.psc.nested);
	}
	return words;
}
