// mmreplay machines: what is built in, or one as the JSON that --machine takes.
import type { Command } from "commander";
import { DEFAULT_MACHINE, findMachine, MACHINES, type TlbLevel } from "../machine/machine.js";
import { tableLines } from "../report/table.js";
import { unknownMachine } from "./choices.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { voiceOf, writeJson, writeOut } from "./output.js";

const SCHEMA = "mmreplay/machines/1";

export function define(command: Command): void {
	withVoice(command)
		.argument("[name]", "print this one as JSON")
		.option("--json", "print one JSON document")
		.action((name: string | undefined, options: VoiceOptions & { json?: boolean }) => {
			if (name !== undefined) {
				const machine = findMachine(name);
				if (machine === undefined) throw unknownMachine(name, "machines");
				writeJson({ schema: SCHEMA, ...machine });
			} else if (options.json === true) writeJson({ schema: SCHEMA, machines: MACHINES, default: DEFAULT_MACHINE.name });
			else list(options);
		});
}

const geometry = ({ entries, ways }: TlbLevel): string => `${entries} x ${ways} ways`;

function list(options: VoiceOptions): void {
	const voice = voiceOf(options);
	const left = (title: string): { title: string; align: "left" } => ({ title, align: "left" });
	const table = {
		columns: [left("name"), left("L1 TLB"), left("L2 TLB"), left("levels"), left("title")],
		rows: MACHINES.map(({ name, tlb, guestLevels, hostLevels, title }) => [
			name,
			geometry(tlb.l1),
			geometry(tlb.l2),
			`${guestLevels} + ${hostLevels}`,
			title,
		]),
	};
	writeOut(`${tableLines(table, voice.columns, voice.color).join("\n")}\n`);
}
