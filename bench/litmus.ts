// How fast the litmus explorer is: states a second of CPU time, unreduced, and how long the built-in scenarios take. `npm run bench:litmus`.
import { explore } from "../src/litmus/explore.js";
import { builtInScenarios } from "../src/litmus/library.js";
import { parseScenario } from "../src/litmus/parse.js";
import { compileProgram } from "../src/litmus/program.js";
import { judge } from "../src/litmus/verdict.js";
import { findStrategy, STRATEGIES } from "../src/strategies/index.js";

const LARGE = `litmus large
frame A private
frame K ksm held
frame B shared
page v: pte A rw, spte A rw
page w: pte B ro, spte B ro
thread S ksmd
    merge v K
thread H host
    write w 1
    read v r
thread G vcpu
    write v 2
    read w r
thread H2 host
    write w 3
    write v 4
forbidden I-1 or I-2
`;

const strategy = findStrategy("fix");
if (strategy === undefined) throw new Error("no strategy");
const program = compileProgram(parseScenario(LARGE, "large"), strategy);
const rates = Array.from({ length: 7 }, () => {
	const before = process.cpuUsage();
	const { states } = explore(program, { reduce: false, countPaths: false });
	const { user, system } = process.cpuUsage(before);
	return { states, perSecond: (1e6 * states) / (user + system) };
}).sort((a, b) => a.perSecond - b.perSecond);
const median = rates[3];
if (median !== undefined)
	console.log(
		`${median.states} states; ${(median.perSecond / 1e6).toFixed(2)} M states a CPU second (median of ${rates.length}; the first is cold)`,
	);

const began = performance.now();
let slowest = { name: "", ms: 0 };
for (const scenario of builtInScenarios()) {
	const one = performance.now();
	judge(scenario, STRATEGIES, true);
	const ms = performance.now() - one;
	if (ms > slowest.ms) slowest = { name: scenario.name, ms };
}
console.log(
	`all scenarios under all strategies: ${((performance.now() - began) / 1000).toFixed(2)} s; the slowest, ${slowest.name}: ${slowest.ms.toFixed(0)} ms`,
);
