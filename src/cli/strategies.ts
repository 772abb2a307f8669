// mmreplay strategies: what is built in, or one as the JSON that --strategies takes.
import type { Command } from "commander";
import { DEFAULT_BASELINE, DEFAULT_STRATEGIES, STRATEGIES } from "../strategies/index.js";
import { defineBuiltIn } from "./builtin.js";
import { namedStrategy } from "./choices.js";

export function define(command: Command): void {
	defineBuiltIn(command, {
		schema: "mmreplay/strategies/1",
		find: (name) => namedStrategy(name, "strategies"),
		all: { strategies: STRATEGIES, default: DEFAULT_STRATEGIES, baseline: DEFAULT_BASELINE },
		columns: ["name", "option", "safe", "kernels", "what it does"],
		rows: STRATEGIES.map(({ name, option, safe, kernels, title }) => [name, String(option ?? "-"), safe ? "yes" : "no", kernels, title]),
	});
}
