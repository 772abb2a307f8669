// Lines over one axis. The drawing stretches to the width it is given; its words stand beside it, so that they keep their size.
import { short } from "../numbers.js";
import { html, type Markup, NOTHING } from "./markup.js";

interface Line {
	readonly name: string;
	/** Place in the palette. */
	readonly color: number;
	readonly points: readonly (readonly [x: number, y: number])[];
}

export interface LineChart {
	readonly title: string;
	readonly xTitle: string;
	readonly yTitle: string;
	readonly lines: readonly Line[];
	readonly xRange: readonly [number, number];
	/** Values go on until the next point, as counts do. */
	readonly steps?: boolean;
	/** A place on the x axis that matters. */
	readonly mark?: { readonly x: number; readonly text: string; readonly id?: string } | undefined;
	/** What the x axis says at its ends; the numbers by default. */
	readonly ends?: readonly [string, string];
	/** The reader may zoom and move along the x axis, together with the other charts of this group. */
	readonly zoom?: string;
}

const WIDTH = 1000;
const HEIGHT = 240;

function path({ points }: Line, steps: boolean, x: (value: number) => string, y: (value: number) => string): string {
	let text = "";
	let before = "";
	for (const [at, [px, py]] of points.entries()) {
		const [cx, cy] = [x(px), y(py)];
		text += at === 0 ? `M${cx} ${cy}` : steps ? `H${cx}${cy === before ? "" : `V${cy}`}` : `L${cx} ${cy}`;
		before = cy;
	}
	return text;
}

/** No lines, nothing: a chart of nothing helps nobody. */
export function lineChart(chart: LineChart): Markup {
	const { title, lines, xRange, mark } = chart;
	const values = lines.flatMap(({ points }) => points.map(([, y]) => y));
	if (values.length === 0) return NOTHING;
	const top = Math.max(0, ...values);
	const bottom = Math.min(0, ...values);
	const span = top - bottom || 1;
	const [from, to] = xRange;
	const place = (value: number): number => (WIDTH * (value - from)) / (to - from || 1);
	const x = (value: number): string => String(Math.round(place(value) * 10) / 10);
	const y = (value: number): string => String(Math.round(HEIGHT * (1 - (value - bottom) / span) * 10) / 10);
	const told = `${title}. ${lines.map(({ name, points }) => `${name}: from ${short(points[0]?.[1] ?? 0)} to ${short(points.at(-1)?.[1] ?? 0)}`).join("; ")}.`;
	const ends = chart.ends ?? [short(from), short(to)];
	return html`<figure class="lines"${chart.zoom === undefined ? NOTHING : html` data-zoom="${chart.zoom}" data-from="${from}" data-to="${to}"`}><figcaption>${title}<ul class="legend">${lines.map(
		({ name, color }) => html`<li><i class="${`s${color} d${color}`}"></i>${name}</li>`,
	)}</ul></figcaption><div class="plot"><span class="ymax">${short(top)}</span><span class="ymin">${short(bottom)}</span><svg role="img" aria-label="${told}" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">${
		bottom < 0 ? html`<path class="zero" d="${`M0 ${y(0)}H${WIDTH}`}"/>` : NOTHING
	}${lines.map((line) => html`<path class="${`line s${line.color} d${line.color}`}" d="${path(line, chart.steps === true, x, y)}"/>`)}${
		mark === undefined
			? NOTHING
			: html`<path class="mark"${mark.id === undefined ? NOTHING : html` id="${mark.id}"`} d="${`M${x(mark.x)} 0V${HEIGHT}`}"/>`
	}</svg></div><div class="xaxis"><span>${ends[0]}</span><span>${chart.xTitle}${mark === undefined ? "" : `; ${mark.text}`}</span><span>${ends[1]}</span></div></figure>`;
}
