// Options that name something built in or a file of the user's: strategies, a machine, costs.
import { existsSync, readFileSync, statSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import { MAX_THREADS } from "../engine/threads.js";
import { UsageError } from "../errors.js";
import { type Costs, DEFAULT_COSTS, parseCosts } from "../machine/costs.js";
import { DEFAULT_MACHINE, findMachine, MACHINES, type Machine, parseMachine } from "../machine/machine.js";
import { findStrategy, STRATEGIES } from "../strategies/index.js";
import { parseStrategy } from "../strategies/json.js";
import type { Strategy } from "../strategies/steps.js";
import { didYouMean } from "./suggest.js";

function isFile(path: string): boolean {
	return existsSync(path) && statSync(path).isFile();
}

/** Something that looks like a path is meant as one, whether it is there or not. */
function looksLikeFile(word: string): boolean {
	return word.includes("/") || word.endsWith(".json");
}

function readFileOf(path: string, option: string): string {
	if (!isFile(path)) throw new UsageError(`no such file: ${path}`, { where: option });
	return readFileSync(path, "utf8");
}

/** The built-in strategy of a name. @throws UsageError where there is none */
export function namedStrategy(name: string, where: string): Strategy {
	const found = findStrategy(name);
	if (found !== undefined) return found;
	const names = STRATEGIES.map((strategy) => strategy.name);
	throw new UsageError(`unknown strategy ${name}`, { where, hint: didYouMean(name, names, "mmreplay strategies lists them") });
}

export interface ChosenStrategy {
	readonly strategy: Strategy;
	/** One of ours or a variant of one. */
	readonly builtIn: boolean;
}

function oneStrategy(word: string, option: string): ChosenStrategy {
	const builtIn = !looksLikeFile(word) && (findStrategy(word) !== undefined || !isFile(word));
	if (builtIn) return { strategy: namedStrategy(word, option), builtIn };
	return { strategy: parseStrategy(readFileOf(word, option), word), builtIn };
}

/** Names and JSON files, separated by commas. @throws UsageError, BadInputError */
export function chooseStrategies(list: string, option = "--strategies"): ChosenStrategy[] {
	const chosen = list
		.split(",")
		.map((word) => word.trim())
		.filter((word) => word !== "")
		.map((word) => oneStrategy(word, option));
	if (chosen.length === 0) throw new UsageError("no strategy is named", { where: option, hint: "mmreplay strategies lists them" });
	for (const [at, { strategy }] of chosen.entries()) {
		const { name } = strategy;
		if (chosen.findIndex((other) => other.strategy.name === name) !== at)
			throw new UsageError(`strategy ${name} is named twice`, { where: option });
	}
	return chosen;
}

/** The built-in machine of a name, or a variant of one. @throws UsageError where there is none */
export function namedMachine(name: string, where: string): Machine {
	const found = findMachine(name);
	if (found !== undefined) return found;
	const names = MACHINES.map((machine) => machine.name);
	throw new UsageError(`unknown machine ${name}`, { where, hint: didYouMean(name, names, "mmreplay machines lists them") });
}

/** @throws UsageError, BadInputError */
export function chooseMachine(word: string | undefined): Machine {
	if (word === undefined) return DEFAULT_MACHINE;
	if (findMachine(word) !== undefined || (!looksLikeFile(word) && !isFile(word))) return namedMachine(word, "--machine");
	return parseMachine(readFileOf(word, "--machine"), word);
}

/** @throws UsageError, BadInputError */
export function chooseCosts(path: string | undefined): Costs {
	return path === undefined ? DEFAULT_COSTS : parseCosts(readFileOf(path, "--costs"), path);
}

/** For commander: a number of threads. */
export function threadCount(text: string): number {
	const value = wholeNumber(text);
	if (value < 1 || value > MAX_THREADS) throw new InvalidArgumentError(`It must be 1 to ${MAX_THREADS}.`);
	return value;
}

/** For commander: a whole number from 0. */
export function wholeNumber(text: string): number {
	const value = Number(text);
	if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
	return value;
}
