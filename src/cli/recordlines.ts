// What head and cat share: records of a trace, a line each.
import type { Command } from "commander";
import { recordJson, recordText } from "../report/recordtext.js";
import { records } from "../trace/records.js";
import { openInput } from "./input.js";
import { type CaptureFlags, captureOptions, withCapture, withVoice } from "./options.js";
import { writeOut } from "./output.js";

export interface RecordFlags extends CaptureFlags {
	json?: boolean;
	causes?: boolean;
	observations?: boolean;
}

/** Lines written at once. */
const BATCH = 512;

export function withRecords(command: Command): Command {
	return withVoice(withCapture(command))
		.argument("<trace>", "a trace, a capture or a folder of a capture; - for standard input")
		.option("--causes", "causes only")
		.option("--observations", "observations only")
		.option("--json", "JSON lines");
}

export async function writeRecords(path: string, options: RecordFlags, limit: number): Promise<void> {
	const input = await openInput(path, captureOptions(options));
	const line = options.json === true ? recordJson : recordText;
	const all = options.causes !== true && options.observations !== true;
	let batch: string[] = [];
	const flush = (): void => {
		if (batch.length > 0) writeOut(`${batch.join("\n")}\n`);
		batch = [];
	};
	try {
		let written = 0;
		const chosen = { causes: all || options.causes === true, observations: all || options.observations === true };
		for (const record of records(input.trace, chosen)) {
			if (written++ >= limit) break;
			batch.push(line(record));
			if (batch.length >= BATCH) flush();
		}
	} finally {
		input.close();
		// What came before a damage is shown before its error.
		flush();
	}
}
