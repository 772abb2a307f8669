// npm run plots: docs/pictures/speed-by-footprint.svg and speed-by-strategies.svg, events a second against guest memory and against the number of
// strategies, by processor time; medians of fresh processes, taken in turn. --rounds N (3), --events N (3 million).

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { node } from "./run.mjs";
import { exists, root } from "./stamp.mjs";

const at = process.argv.indexOf("--rounds");
const rounds = at < 0 ? 3 : Number(process.argv[at + 1]);
const events = process.argv.indexOf("--events");
const EVENTS = events < 0 ? 3_000_000 : Number(process.argv[events + 1]);
const WARMING = 262_144;
const cache = join(root, ".bench");
const ALL = ["drop", "wrapped", "fix", "establish-map", "establish", "flag", "fix-map", "establish-lean"];
const FOOTPRINTS = [8, 10, 12, 14, 16, 18, 20, 22, 24];
const COLOURS = ["#1b6ca8", "#c2541b", "#3d8b40", "#8a4fa3"];

async function trace(name, args, skip) {
	const file = `plot-${name}-${skip + EVENTS}.mmtrace`;
	if (!exists(join(".bench", file))) {
		const { code, output } = await node("dist/cli/main.js", [
			"generate",
			...args,
			"-n",
			String(skip + EVENTS),
			"-q",
			"-o",
			join(cache, file),
		]);
		if (code !== 0) throw new Error(output);
	}
	return { path: join(cache, file), skip };
}

async function measured({ path, skip }, strategies) {
	const task = { mode: "replay", trace: path, skip, check: false, strategies };
	const { code, output } = await node("dist/bench/child.js", [JSON.stringify(task)]);
	if (code !== 0) throw new Error(output);
	const { events, cpuSeconds } = JSON.parse(output);
	return events / cpuSeconds / 1e6;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Series of { x, run }, measured in turn. */
async function medians(series) {
	const found = series.map(({ points }) => points.map(() => []));
	for (let round = 0; round < rounds; round++) {
		for (const [line, { points }] of series.entries()) {
			for (const [place, { run }] of points.entries()) found[line][place].push(await run());
		}
	}
	return series.map(({ name, points }, line) => ({ name, points: points.map(({ x }, place) => ({ x, y: median(found[line][place]) })) }));
}

/** Lines over a logarithmic axis of events a second. */
function chart(title, series, xTitle, xLabels) {
	const [width, height, left, right, top, bottom] = [720, 400, 70, 130, 40, 50];
	const ys = series.flatMap(({ points }) => points.map(({ y }) => y));
	const [low, high] = [Math.floor(Math.log10(Math.min(...ys))), Math.ceil(Math.log10(Math.max(...ys)))];
	const xs = xLabels.map(([x]) => x);
	const px = (x) => left + ((x - xs[0]) / (xs.at(-1) - xs[0])) * (width - left - right);
	const py = (y) => height - bottom - ((Math.log10(y) - low) / (high - low)) * (height - top - bottom);
	const parts = [];
	for (let decade = low; decade <= high; decade++) {
		for (const step of decade === high ? [1] : [1, 2, 5]) {
			const y = py(step * 10 ** decade).toFixed(1);
			parts.push(`<line x1="${left}" x2="${width - right}" y1="${y}" y2="${y}" stroke="${step === 1 ? "#bbb" : "#e6e6e6"}"/>`);
			parts.push(`<text x="${left - 8}" y="${Number(y) + 4}" text-anchor="end">${Number((step * 10 ** decade).toPrecision(2))}</text>`);
		}
	}
	for (const [x, label] of xLabels)
		parts.push(`<text x="${px(x).toFixed(1)}" y="${height - bottom + 20}" text-anchor="middle">${label}</text>`);
	for (const [index, { name, points }] of series.entries()) {
		const colour = COLOURS[index % COLOURS.length];
		const path = points.map(({ x, y }) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`);
		parts.push(`<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`);
		for (const point of path) parts.push(`<circle cx="${point.split(",")[0]}" cy="${point.split(",")[1]}" r="3" fill="${colour}"/>`);
		parts.push(`<text x="${width - right + 10}" y="${Number(path.at(-1).split(",")[1]) + 4}" fill="${colour}">${name}</text>`);
	}
	return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" font-family="system-ui,sans-serif" font-size="12" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${left}" y="22" font-size="14" font-weight="600">${title}</text>
${parts.join("\n")}
<text x="${(left + width - right) / 2}" y="${height - 10}" text-anchor="middle">${xTitle}</text>
</svg>
`;
}

if (!(await build())) process.exit(1);
mkdirSync(cache, { recursive: true });
const size = (log) => (log < 18 ? `${2 ** (log - 8)} MiB` : `${2 ** (log - 18)} GiB`);
const byFootprint = [];
for (const [name, strategies] of [
	["1 strategy", ALL.slice(0, 1)],
	["4 strategies", ALL.slice(0, 4)],
]) {
	const points = [];
	for (const log of FOOTPRINTS) {
		const made = await trace(`uniform-${log}`, ["uniform", "--pages", String(2 ** log), "--warm"], Math.max(2 ** log, WARMING));
		points.push({ x: log, run: () => measured(made, strategies) });
	}
	byFootprint.push({ name, points });
}
const byStrategies = [];
for (const name of ["p", "h", "z", "m"]) {
	const made = await trace(name, [name], WARMING);
	byStrategies.push({ name, points: ALL.map((_, index) => ({ x: index + 1, run: () => measured(made, ALL.slice(0, index + 1)) })) });
}
const pictures = join(root, "docs", "pictures");
const footprints = await medians(byFootprint);
const labels = FOOTPRINTS.map((log) => [log, size(log)]);
writeFileSync(
	join(pictures, "speed-by-footprint.svg"),
	chart("Million events a second, uniform accesses", footprints, "guest memory, every page touched before", labels),
);
const numbers = await medians(byStrategies);
writeFileSync(
	join(pictures, "speed-by-strategies.svg"),
	chart(
		"Million events a second, all strategies in one pass",
		numbers,
		"strategies",
		ALL.map((_, index) => [index + 1, String(index + 1)]),
	),
);
for (const { name, points } of [...footprints, ...numbers]) console.log(name, points.map(({ x, y }) => `${x}: ${y.toFixed(1)}`).join("  "));
