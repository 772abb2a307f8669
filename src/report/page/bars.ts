// Stacked bars, a line a strategy: boxes, so that they fit any width and print.
import { short } from "../numbers.js";
import { html, type Markup } from "./markup.js";

export interface Stack {
	readonly name: string;
	/** One a layer. */
	readonly values: readonly number[];
	/** What stands behind the bar; the sum by default. */
	readonly label?: string;
}

const share = (value: number, most: number): string => ((100 * value) / Math.max(most, Number.MIN_VALUE)).toFixed(2);

/** Layers that are 0 everywhere are left out, with their colours kept. */
export function stackedBars(title: string, layers: readonly string[], stacks: readonly Stack[]): Markup {
	const sum = ({ values }: Stack): number => values.reduce((total, value) => total + value, 0);
	const most = Math.max(...stacks.map(sum));
	const used = layers.map((name, at) => ({ name, at })).filter(({ at }) => stacks.some(({ values }) => (values[at] ?? 0) > 0));
	const told = stacks.map((stack) => `${stack.name} ${stack.label ?? short(sum(stack))}`).join(", ");
	return html`<figure class="bars"><div role="img" aria-label="${`${title}: ${told}`}">${stacks.map(
		(stack) =>
			html`<div class="row"><span class="name">${stack.name}</span><span class="track">${used.map(({ name, at }) => {
				const value = stack.values[at] ?? 0;
				return value === 0
					? html``
					: html`<span class="${`b k${at}`}" style="${`width:${share(value, most)}%`}" title="${`${stack.name}, ${name}: ${value}`}"></span>`;
			})}</span><span class="sum">${stack.label ?? short(sum(stack))}</span></div>`,
	)}</div><figcaption><ul class="legend">${used.map(({ name, at }) => html`<li><i class="${`k${at}`}"></i>${name}</li>`)}</ul></figcaption></figure>`;
}
