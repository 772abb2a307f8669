// What there is to call. A command's code is loaded when it is called: a start must be quick.
import type { Command } from "commander";

export interface CommandEntry {
	readonly name: string;
	readonly summary: string;
	load(): Promise<{ define(command: Command): void }>;
}

export const COMMANDS: readonly CommandEntry[] = [
	{ name: "compare", summary: "replay traces under several strategies side by side", load: () => import("./compare.js") },
	{ name: "replay", summary: "replay one trace under one strategy, phase by phase", load: () => import("./replay.js") },
	{ name: "fidelity", summary: "hold traces against what their own kernel was seen to do", load: () => import("./fidelity.js") },
	{ name: "litmus", summary: "explore every interleaving of the coherence scenarios", load: () => import("./litmus.js") },
	{ name: "import", summary: "make a trace from a capture", load: () => import("./import.js") },
	{ name: "generate", summary: "make a trace of a synthetic workload", load: () => import("./generate.js") },
	{ name: "bench", summary: "measure how fast the engine is here, and hold that against a baseline", load: () => import("./bench.js") },
	{ name: "capture", summary: "what this host permits to record, and the recipe for it", load: () => import("./recipe.js") },
	{ name: "info", summary: "what a trace holds and where it comes from", load: () => import("./info.js") },
	{ name: "head", summary: "the first records of a trace", load: () => import("./head.js") },
	{ name: "cat", summary: "all records of a trace", load: () => import("./cat.js") },
	{ name: "validate", summary: "check a trace, and save what is good of a damaged one", load: () => import("./validate.js") },
	{ name: "report", summary: "make an HTML report of saved runs", load: () => import("./report.js") },
	{ name: "strategies", summary: "list the strategies, or print one as JSON", load: () => import("./strategies.js") },
	{ name: "machines", summary: "list the machines, or print one as JSON", load: () => import("./machines.js") },
];
