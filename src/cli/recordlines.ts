// What head and cat share: records of a trace, a line each.
import { type Command, Option } from "commander";
import { recordJson, recordText } from "../report/recordtext.js";
import { tracefsHead, tracefsLine } from "../report/tracefstext.js";
import { records, type Sequenced } from "../trace/records.js";
import { openInput } from "./input.js";
import { type CaptureFlags, captureOptions, withCapture, withVoice } from "./options.js";
import { writeOut } from "./output.js";

export interface RecordFlags extends CaptureFlags {
	json?: boolean;
	causes?: boolean;
	observations?: boolean;
	format?: "text" | "json" | "tracefs";
}

/** Lines written at once. */
const BATCH = 512;

export function withRecords(command: Command): Command {
	return withVoice(withCapture(command))
		.argument("<trace>", "a trace, a capture or a folder of a capture; - for standard input")
		.option("--causes", "causes only")
		.option("--observations", "observations only")
		.addOption(
			new Option("--format <format>", "text; json: a line each; tracefs: the layout of the kernel's own trace, which import takes back")
				.choices(["text", "json", "tracefs"])
				.default("text"),
		)
		.option("--json", "as --format json");
}

export async function writeRecords(path: string, options: RecordFlags, limit: number): Promise<void> {
	const input = await openInput(path, captureOptions(options));
	const format = options.json === true ? "json" : options.format;
	const line = format === "json" ? recordJson : format === "tracefs" ? ({ record }: Sequenced): string => tracefsLine(record) : recordText;
	const all = options.causes !== true && options.observations !== true;
	let batch: string[] = [];
	const flush = (): void => {
		if (batch.length > 0) writeOut(`${batch.join("\n")}\n`);
		batch = [];
	};
	try {
		if (format === "tracefs") writeOut(`${tracefsHead(input.header)}\n`);
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
