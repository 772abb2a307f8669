// mmreplay strategies: what is built in, or one as the JSON that --strategies takes.
import type { Command } from "commander";
import { tableLines } from "../report/table.js";
import { DEFAULT_BASELINE, DEFAULT_STRATEGIES, findStrategy, STRATEGIES } from "../strategies/index.js";
import { unknownStrategy } from "./choices.js";
import { type VoiceOptions, withVoice } from "./options.js";
import { voiceOf, writeJson, writeOut } from "./output.js";

const SCHEMA = "mmreplay/strategies/1";

export function define(command: Command): void {
	withVoice(command)
		.argument("[name]", "print this one as JSON")
		.option("--json", "print one JSON document")
		.action((name: string | undefined, options: VoiceOptions & { json?: boolean }) => {
			if (name !== undefined) {
				const strategy = findStrategy(name);
				if (strategy === undefined) throw unknownStrategy(name, "strategies");
				writeJson({ schema: SCHEMA, ...strategy });
			} else if (options.json === true) {
				writeJson({ schema: SCHEMA, strategies: STRATEGIES, default: DEFAULT_STRATEGIES, baseline: DEFAULT_BASELINE });
			} else list(options);
		});
}

function list(options: VoiceOptions): void {
	const voice = voiceOf(options);
	const left = (title: string): { title: string; align: "left" } => ({ title, align: "left" });
	const table = {
		columns: [left("name"), left("option"), left("safe"), left("kernels"), left("what it does")],
		rows: STRATEGIES.map(({ name, option, safe, kernels, title }) => [name, String(option ?? "-"), safe ? "yes" : "no", kernels, title]),
	};
	writeOut(`${tableLines(table, voice.columns, voice.color).join("\n")}\n`);
}
