// The thread of threads.ts: replays one part of a trace, says what came of it, and hands its final states over.
import { workerData } from "node:worker_threads";
import { openTrace } from "../trace/reader.js";
import { adoptModule } from "./engine.js";
import { PartLink, PartState } from "./partlink.js";
import { memberOf, replayGroups } from "./replay.js";
import type { PartAnswer, PartTask } from "./threads.js";

function handOver({ options }: PartTask, groups: ReturnType<typeof replayGroups>["groups"], link: PartLink): void {
	for (const place of options.strategies.keys()) {
		const { engine, index } = memberOf(groups, place);
		for (const batch of engine.state(index).entries()) if (!link.put(batch)) return;
		if (!link.put(new Uint32Array(0))) return;
	}
}

function replayPart(task: PartTask, link: PartLink): void {
	const say = (answer: PartAnswer): void => task.port.postMessage(answer);
	link.setState(PartState.replaying);
	if (link.stopped) throw new Error("nobody wants the part any more");
	adoptModule(task.build, task.module);
	const trace = openTrace(task.file, { limits: task.limits });
	const { result, groups } = replayGroups(trace, { ...task.options, ahead: null }, () => {
		link.beat();
		if (link.stopped) throw new Error("nobody wants the part any more");
	});
	const ksmPages = task.options.strategies.map((_, place) => memberOf(groups, place).engine.ksmPages());
	say({ result, ksmPages });
	link.setState(PartState.done);
	handOver(task, groups, link);
}

const task = workerData as PartTask;
const link = new PartLink(task.link);
try {
	replayPart(task, link);
} catch (error) {
	task.port.postMessage({ failed: error instanceof Error ? error.message : String(error) } satisfies PartAnswer);
	link.setState(PartState.failed);
} finally {
	task.port.close();
}
