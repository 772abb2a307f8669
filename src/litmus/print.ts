// A scenario as the text of its file: what the search writes.
import type { Step } from "../strategies/steps.js";
import type { Condition, Mapping, Scenario, Statement } from "./scenario.js";

const mapping = (table: string, entry: Mapping): string[] =>
	entry === null ? [] : [`${table} ${entry.frame} ${entry.writable ? "rw" : "ro"}`];

function condition(of: Condition): string {
	switch (of.is) {
		case "rule":
			return of.rule;
		case "register":
			return `${of.thread}.${of.register} ${of.equal ? "=" : "!="} ${of.value}`;
		default:
			return of.of
				.map((part) => (part.is === "any" || part.is === "all" ? `(${condition(part)})` : condition(part)))
				.join(of.is === "all" ? " and " : " or ");
	}
}

function step(of: Step): string {
	const words: string[] = [];
	if (of.step === "change-pte") {
		words.push(of.mode, of.writable);
		if (of.guard === "own-bracket") words.push("own-bracket");
		if (of.unless !== undefined) words.push("unless-replace-follows");
		if (of.flush !== undefined) words.push("deferred");
	} else if ((of.step === "range-start" || of.step === "range-end") && of.kvm === false) words.push("no-kvm");
	else if (of.step === "set-pte-write-protected" && of.reuse !== undefined) words.push("reuse");
	else if (of.step === "alloc-copy" && of.retry !== undefined) words.push(of.retry);
	return words.length === 0 ? of.step : `${of.step}(${words.join(", ")})`;
}

function statement(of: Statement): string {
	switch (of.do) {
		case "read":
			return `read ${of.page} ${of.register}`;
		case "write":
		case "dma":
			return `${of.do} ${of.page} = ${of.value}`;
		case "signal":
		case "await":
			return `${of.do} ${of.flag}`;
		case "merge":
			return `merge ${of.page} ${of.frame}`;
		case "pin":
		case "unpin":
			return `${of.do} ${of.page}`;
		case "operation":
			return `${of.operation} ${of.page}${of.earlyFree ? " early-free" : ""}${of.steps === null ? "" : ` by ${of.steps.map(step).join(" ")}`}`;
	}
}

/** Reads back as the same scenario. */
export function printScenario(scenario: Scenario): string {
	const { frames, pages, threads, allowed, without } = scenario;
	return `${[
		`litmus ${scenario.name}`,
		...(scenario.title === "" ? [] : [`title  ${scenario.title}`]),
		...(scenario.source === "" ? [] : [`source ${scenario.source}`]),
		"",
		...frames.map(({ name, kind, value, held }) => `frame ${name} ${kind}${value === 0 ? "" : ` = ${value}`}${held ? " held" : ""}`),
		...pages.map(({ name, pte, spte, mirror, device }) => {
			const tables = [...mapping("pte", pte), ...mapping("spte", spte), ...mapping("mirror", mirror), ...mapping("device", device)];
			return `page ${name}: ${tables.length === 0 ? "pte none" : tables.join(", ")}`;
		}),
		"",
		...threads.flatMap(({ name, kind, about, statements }) => [
			`thread ${name} ${kind}${about === "" ? "" : `: ${about}`}`,
			...statements.map((each) => `    ${statement(each)}`),
		]),
		"",
		`forbidden ${condition(scenario.forbidden)}`,
		...(allowed.length === 0 ? [] : [`allowed under ${allowed.join(" ")}`]),
		...without.map(({ thread, strategies, reason }) => `without ${thread} under ${strategies.join(" ")}: ${reason}`),
	].join("\n")}\n`;
}
