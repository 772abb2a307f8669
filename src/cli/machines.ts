// mmreplay machines: what is built in, or one as the JSON that --machine takes.
import type { Command } from "commander";
import { DEFAULT_MACHINE, MACHINES, type TlbLevel } from "../machine/machine.js";
import { defineBuiltIn } from "./builtin.js";
import { namedMachine } from "./choices.js";

const geometry = ({ entries, ways }: TlbLevel): string => `${entries} x ${ways} ways`;

export function define(command: Command): void {
	defineBuiltIn(command, {
		schema: "mmreplay/machines/1",
		find: (name) => namedMachine(name, "machines"),
		all: { machines: MACHINES, default: DEFAULT_MACHINE.name },
		columns: ["name", "L1 TLB", "L2 TLB", "levels", "title"],
		rows: MACHINES.map(({ name, tlb, guestLevels, hostLevels, title }) => [
			name,
			geometry(tlb.l1),
			geometry(tlb.l2),
			`${guestLevels} + ${hostLevels}`,
			title,
		]),
	});
}
