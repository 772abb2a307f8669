// The scenarios that come with mmreplay, and those of the user's own.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.js";
import { parseScenario } from "./parse.js";
import type { Scenario } from "./scenario.js";

const FOLDER = new URL("../litmus/scenarios/", import.meta.url);
const EXTENSION = ".litmus";

/** Every scenario of kernel.md section 5, in its order. */
export function builtInScenarios(): Scenario[] {
	return readdirSync(FOLDER)
		.filter((name) => name.endsWith(EXTENSION))
		.sort((a, b) => order(a).localeCompare(order(b)))
		.map((name) => readScenario(fileURLToPath(new URL(name, FOLDER)), name));
}

/** c before c1 before c2, e before e0. */
const order = (name: string): string => name.replace("-", " ");

/** @throws UsageError, BadInputError */
function readScenario(path: string, shown = path): Scenario {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (cause) {
		throw new UsageError("no such scenario file", { where: path, cause });
	}
	return parseScenario(text, shown);
}

/** By name, by a beginning of it (`h`, `c1`), or a file. @throws UsageError, BadInputError */
export function chooseScenarios(words: readonly string[]): Scenario[] {
	if (words.length === 0) return builtInScenarios();
	const known = builtInScenarios();
	return words.flatMap((word) => {
		if (word.includes("/") || word.endsWith(EXTENSION)) return [readScenario(word)];
		const found = known.filter(({ name }) => name === word || name.split("-")[0] === word);
		const meant = found.length > 0 ? found : known.filter(({ name }) => name.startsWith(word));
		if (meant.length > 0) return meant;
		throw new UsageError(`unknown scenario ${word}`, {
			where: "litmus",
			hint: "a file, or one that mmreplay litmus --list shows",
		});
	});
}
