// mmreplay replay: one trace under one strategy, phase by phase.
import type { Command } from "commander";
import { COUNTER_PATHS } from "../counters.js";
import { UsageError } from "../errors.js";
import {
	coherenceJson,
	countersJson,
	eventsPerSecond,
	knowsAccesses,
	phaseCoherenceJson,
	replayJson,
	traceJson,
	violationsOf,
} from "../report/compare.js";
import { cyclesOf } from "../report/cost.js";
import { depthLines } from "../report/depth.js";
import { exactness } from "../report/exactness.js";
import type { Replayed } from "../report/held.js";
import { short } from "../report/numbers.js";
import { rangesByVm } from "../report/ranges.js";
import { longestChain } from "../report/retries.js";
import { caveatLines, fidelityLine } from "../report/verdict.js";
import { DEFAULT_BASELINE } from "../strategies/index.js";
import { chooseCosts, chooseMachine, chooseStrategies, threadCount } from "./choices.js";
import { openInput } from "./input.js";
import { assumedHost, type CaptureFlags, captureOptions, type HostFlags, toldHost, withCapture, withHost, withVoice } from "./options.js";
import { voiceOf, writeJson, writeOut } from "./output.js";
import { replayHeld } from "./replayed.js";

interface ReplayFlags extends CaptureFlags, HostFlags {
	strategy: string;
	machine?: string;
	costs?: string;
	check?: boolean;
	threads: number;
	json?: boolean;
}

export function define(command: Command): void {
	withVoice(withHost(withCapture(command), "the host to replay"))
		.argument("<trace>", "a trace, a capture or a folder of a capture; - for standard input")
		.option("-s, --strategy <name or file>", "the strategy", DEFAULT_BASELINE)
		.option("-m, --machine <name or file>", "the machine to simulate: a name (zen3, zen3:psc=true) or a file")
		.option("--costs <file>", "cycles for each counted thing, as JSON")
		.option("--threads <number>", "threads that share the VMs of a trace out among them", threadCount, 1)
		.option("--check", "check every access for coherence, in traces of any size")
		.option("--no-check", "check none")
		.option("--json", "print one JSON document")
		.action(replay);
}

async function replay(path: string, options: ReplayFlags): Promise<void> {
	const voice = voiceOf(options);
	const [chosen, ...others] = chooseStrategies(options.strategy, "--strategy");
	if (chosen === undefined || others.length > 0) {
		throw new UsageError("one strategy is replayed", { where: "--strategy", hint: "mmreplay compare replays several" });
	}
	const { strategy, builtIn } = chosen;
	const machine = chooseMachine(options.machine);
	const host = toldHost(options);
	const costs = chooseCosts(options.costs);
	const input = await openInput(path, captureOptions(options));
	let replayed: Replayed;
	try {
		replayed = replayHeld(input, { strategies: [strategy], machine, check: options.check, host, threads: options.threads }, voice);
	} finally {
		input.close();
	}
	const { facts, result, held } = replayed;
	const [one] = result.strategies;
	if (one === undefined) throw new RangeError("nothing was replayed");
	const complete = knowsAccesses(facts.header);
	if (options.json === true) {
		writeJson({
			schema: "mmreplay/replay/1",
			trace: traceJson(facts, result.events),
			machine,
			host: facts.host,
			costs,
			strategy,
			...exactness(facts.header, strategy.name, builtIn, facts.host),
			counters: countersJson(one.counters, complete),
			longestRetryChain: longestChain(one.counters),
			cost: cyclesOf(one.counters, costs, complete, machine.hz),
			coherence: coherenceJson(one, replayed.checked),
			digest: one.digest,
			phases: result.phases.map(({ phase, label, counters: [counters = new BigUint64Array(COUNTER_PATHS.length)] }) => ({
				phase,
				label,
				counters: countersJson(counters, complete),
				coherence: phaseCoherenceJson(counters, replayed.checked),
			})),
			byVm: rangesByVm({ result, strategies: [one] }).map(({ vm, vmexits, ranges }) => ({
				vm,
				vmexits: vmexits[0] ?? 0,
				ranges: ranges.map((range) => ({ gfn: range.gfn, pages: range.pages, vmexits: range.vmexits[0] ?? 0 })),
			})),
			replay: replayJson(result),
		});
	} else {
		const prose = [
			`trace: ${facts.path}, strategy ${strategy.name}: ${strategy.title}${assumedHost(facts.host)}`,
			fidelityLine(held),
			...caveatLines({ trace: facts }),
			`replayed ${result.events} events in ${result.seconds.toFixed(3)} s: ${short(eventsPerSecond(result))} events/s`,
		];
		const plain = voice.columns === undefined;
		writeOut(
			`${[
				...(plain ? prose.map((line) => `# ${line}`) : prose),
				...(plain ? [] : [""]),
				...depthLines({ result, strategy: one, complete }, voice),
			].join("\n")}\n`,
		);
	}
	if (strategy.safe && (violationsOf(one, replayed.checked) ?? 0) > 0) process.exitCode = 1;
}
