// The page that replays: a reader drops a trace, picks strategies, a machine and costs, and sees the comparison. Nothing leaves the page. Built into
// dist/page/app.js; the worker and the engine's modules stand in the page beside it.
import { COST_NAMES, type CostName, type Costs, DEFAULT_COSTS } from "../machine/costs.js";
import { MACHINES, type Machine, parseMachine } from "../machine/machine.js";
import { comparison } from "../report/compare.js";
import type { Replayed } from "../report/held.js";
import { bytes, short } from "../report/numbers.js";
import { comparisonMarkup } from "../report/page/page.js";
import type { Made } from "../report/savedrun.js";
import { DEFAULT_BASELINE, findStrategy } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { enliven, openForPrint, schemeSwitch } from "./enliven.js";
import type { Answer, Modules, Request } from "./messages.js";

/** An element of the page's own form (src/report/page/interactive.ts). */
function element<T extends HTMLElement>(id: string, type: new () => T): T {
	const found = document.getElementById(id);
	if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
	return found;
}

interface Parts {
	readonly worker: string;
	readonly modules: Readonly<Record<string, string>>;
	readonly version: string;
}

const parts = JSON.parse(element("parts", HTMLScriptElement).textContent ?? "") as Parts;
const modules: Modules = Object.fromEntries(
	Object.entries(parts.modules).map(([name, base64]) => [name, Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))]),
);
const workerUrl = URL.createObjectURL(new Blob([parts.worker], { type: "text/javascript" }));

const fileInput = element("file", HTMLInputElement);
const dropZone = element("drop", HTMLElement);
const form = element("choices", HTMLFormElement);
const again = element("again", HTMLButtonElement);
const cancel = element("cancel", HTMLButtonElement);
const progress = element("progress", HTMLProgressElement);
const status = element("status", HTMLElement);
const problem = element("problem", HTMLElement);
const result = element("result", HTMLElement);

let file: File | undefined;
let worker: Worker | undefined;
let last: Replayed | undefined;

function chosenStrategies(): string[] {
	const names = [...form.querySelectorAll<HTMLInputElement>("input[name=strategy]:checked")].map(({ value }) => value);
	const baseline = element("baseline", HTMLSelectElement).value;
	return names.includes(baseline) ? names : [baseline, ...names];
}

/** @throws BadInputError where the reader's own machine is none */
function chosenMachine(): Machine {
	const own = element("own-machine", HTMLTextAreaElement).value.trim();
	if (own !== "") return parseMachine(own, "machine");
	const name = element("machine", HTMLSelectElement).value;
	const found = MACHINES.find((machine) => machine.name === name) ?? MACHINES[0];
	if (found === undefined) throw new Error("no machine is built in");
	return found;
}

function chosenCosts(): Costs {
	const items = { ...DEFAULT_COSTS.items };
	let changed = false;
	for (const name of COST_NAMES) {
		const cycles = Number(element(`cost-${name}`, HTMLInputElement).value);
		if (!Number.isFinite(cycles) || cycles < 0 || cycles === items[name].cycles) continue;
		items[name satisfies CostName] = { ...items[name], cycles, source: "given on the page", estimate: false };
		changed = true;
	}
	return { name: changed ? "given on the page" : DEFAULT_COSTS.name, items };
}

function fail(message: string, hint?: string): void {
	problem.hidden = false;
	problem.textContent = `mmreplay: error: ${message}${hint === undefined ? "" : `\nhint: ${hint}`}`;
	status.textContent = "";
}

/** The comparison of the last replay: another baseline or other costs need no new one. */
function show(): void {
	if (last === undefined) return;
	const names = chosenStrategies();
	const strategies = names.map(findStrategy).filter((one): one is Strategy => one !== undefined);
	// A strategy that was ticked since needs a replay.
	const replayed = new Set(last.result.strategies.map(({ name }) => name));
	if (strategies.some(({ name }) => !replayed.has(name))) {
		start();
		return;
	}
	const settings = {
		strategies,
		builtIn: new Set(names),
		baseline: element("baseline", HTMLSelectElement).value || DEFAULT_BASELINE,
		machine: chosenMachine(),
		costs: chosenCosts(),
		sensitivity: false,
	};
	const made: Made = {
		version: parts.version,
		command: "",
		runtime: "a page",
		platform: navigator.userAgent,
		at: new Date().toISOString(),
	};
	const markup = comparisonMarkup(comparison(last.facts, settings, last.result, last.held, last.checked), made, "replayed");
	result.innerHTML = markup.text;
	enliven(result);
}

function stop(): void {
	worker?.terminate();
	worker = undefined;
	progress.hidden = true;
	cancel.hidden = true;
	again.disabled = file === undefined;
}

function start(): void {
	if (file === undefined) return;
	stop();
	problem.hidden = true;
	let machine: Machine;
	try {
		machine = chosenMachine();
	} catch (error) {
		fail(error instanceof Error ? error.message : String(error));
		return;
	}
	const { name, size } = file;
	const began = performance.now();
	progress.hidden = false;
	cancel.hidden = false;
	again.disabled = true;
	progress.removeAttribute("value");
	status.textContent = `replaying ${name}, ${bytes(size)}`;
	const request: Request = { file, strategies: chosenStrategies(), machine, modules };
	worker = new Worker(workerUrl);
	worker.onmessage = ({ data }: MessageEvent<Answer>): void => {
		if (data.kind === "progress") {
			const seconds = (performance.now() - began) / 1000;
			// Payloads may be compressed in the file: the share is an estimate.
			const share = Math.min(0.99, data.bytes / Math.max(size, 1));
			progress.value = share;
			status.textContent = `${name}: ${data.events} events, ${short(data.events / seconds)} events/s, ${(data.bytes / seconds / 1e6).toFixed(0)} MB/s`;
			return;
		}
		stop();
		if (data.kind === "failed") {
			fail(data.message, data.hint);
			return;
		}
		last = data.replayed;
		const { events, seconds } = last.result;
		status.textContent = `${name}: ${events} events in ${seconds.toFixed(3)} s, ${short(events / Math.max(seconds, 1e-9))} events/s`;
		show();
	};
	worker.onerror = ({ message }): void => {
		stop();
		fail(`a defect of mmreplay's own: ${message}`);
	};
	worker.postMessage(request);
}

function take(chosen: File | undefined): void {
	if (chosen === undefined) return;
	file = chosen;
	last = undefined;
	result.textContent = "";
	start();
}

fileInput.addEventListener("change", () => take(fileInput.files?.[0]));
for (const type of ["dragenter", "dragover", "dragleave", "drop"] as const) {
	dropZone.addEventListener(type, (event) => {
		event.preventDefault();
		dropZone.classList.toggle("over", type === "dragenter" || type === "dragover");
		if (type === "drop") take(event.dataTransfer?.files[0]);
	});
}
again.addEventListener("click", start);
cancel.addEventListener("click", () => {
	stop();
	status.textContent = "cancelled";
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", ({ target }) => {
	// A machine changes TLB figures: they have to be counted again.
	if (target instanceof HTMLElement && target.closest("[data-replays]") !== null) start();
	else show();
});
schemeSwitch();
openForPrint();
