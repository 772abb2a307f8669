// Fresh processes, interleaved: every measurement once a round, round after round, so that what a busy machine does meets all of them alike. What is
// compared is then a ratio of two neighbours.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Measured, Task } from "./child.js";
import type { Yardstick } from "./yardsticks.js";

const CHILD = fileURLToPath(new URL("../bench/child.js", import.meta.url));
const exec = promisify(execFile);

/** One thing that is measured. */
export interface Probe {
	/** workload/what, such as h/engine. */
	readonly name: string;
	run(): Promise<Measured>;
}

async function measured(command: readonly string[]): Promise<Measured> {
	const [file = "", ...args] = command;
	const { stdout } = await exec(file, args, { maxBuffer: 1 << 24 });
	return JSON.parse(stdout) as Measured;
}

export function taskProbe(name: string, task: Task): Probe {
	return { name, run: () => measured([process.execPath, CHILD, JSON.stringify(task)]) };
}

export function yardstickProbe(name: string, yardstick: Yardstick, trace: string, skip: number, touch?: "loads" | "prefetch"): Probe {
	return { name, run: () => measured(yardstick.command(trace, skip, touch)) };
}

export type Rounds = ReadonlyMap<string, readonly Measured[]>;

export async function runRounds(probes: readonly Probe[], rounds: number, onRun?: (round: number, probe: string) => void): Promise<Rounds> {
	const found = new Map<string, Measured[]>(probes.map(({ name }) => [name, []]));
	for (let round = 0; round < rounds; round++) {
		// Turned about each time, so that nobody always runs behind the same neighbour.
		const order = round % 2 === 0 ? probes : [...probes].reverse();
		for (const probe of order) {
			onRun?.(round, probe.name);
			found.get(probe.name)?.push(await probe.run());
		}
	}
	return found;
}
