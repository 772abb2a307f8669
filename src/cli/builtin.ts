// Commands that print what is built in: all as a table or as JSON, or one as the JSON that an option takes.
import type { Command } from "commander";
import { tableLines } from "../report/table.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { voiceOf, writeJson, writeOut } from "./output.js";

interface BuiltIn<T extends object> {
	readonly schema: string;
	/** @throws UsageError where there is none of this name */
	readonly find: (name: string) => T;
	/** The whole list as JSON, without its schema. */
	readonly all: object;
	/** Titles of the table's columns. */
	readonly columns: readonly string[];
	readonly rows: readonly (readonly string[])[];
}

export function defineBuiltIn<T extends object>(command: Command, { schema, find, all, columns, rows }: BuiltIn<T>): void {
	withVoice(command)
		.argument("[name]", "print this one as JSON")
		.option("--json", "print one JSON document")
		.action((name: string | undefined, options: VoiceOptions & { json?: boolean }) => {
			if (name !== undefined) writeJson({ schema, ...find(name) });
			else if (options.json === true) writeJson({ schema, ...all });
			else {
				const voice = voiceOf(options);
				const table = { columns: columns.map((title) => ({ title, align: "left" as const })), rows };
				writeOut(`${tableLines(table, voice.columns, voice.color).join("\n")}\n`);
			}
		});
}
