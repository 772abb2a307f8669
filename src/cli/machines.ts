// mmreplay machines: what is built in, or one as the JSON that --machine takes.
import type { Command } from "commander";
import { DEFAULT_MACHINE, MACHINES, type TlbArray, type TlbLevel } from "../machine/machine.js";
import { defineBuiltIn } from "./builtin.js";
import { namedMachine } from "./choices.js";

const geometry = ({ entries, ways }: TlbArray): string => (entries === ways ? `${entries}, all ways` : `${entries} x ${ways} ways`);

/** Where a level has its 2 MiB pages. */
function hugeOf({ huge = "pieces" }: TlbLevel): string {
	return typeof huge === "string" ? huge : geometry(huge);
}

export function define(command: Command): void {
	defineBuiltIn(command, {
		schema: "mmreplay/machines/1",
		find: (name) => namedMachine(name, "machines"),
		all: { machines: MACHINES, default: DEFAULT_MACHINE.name },
		columns: ["name", "L1 TLB", "L1 2 MiB", "L2 TLB", "L2 2 MiB", "levels", "title"],
		rows: MACHINES.map(({ name, tlb, guestLevels, hostLevels, title }) => [
			name,
			geometry(tlb.l1),
			hugeOf(tlb.l1),
			geometry(tlb.l2),
			hugeOf(tlb.l2),
			`${guestLevels} + ${hostLevels}`,
			title,
		]),
	});
}
