// The page that replays in the browser: its form. What it does is src/web/app.ts; the engine comes with the page.
import { COST_NAMES, DEFAULT_COSTS } from "../../machine/costs.js";
import { MACHINES } from "../../machine/machine.js";
import { DEFAULT_BASELINE, DEFAULT_STRATEGIES, STRATEGIES } from "../../strategies/index.js";
import { html, jsonMarkup, type Markup } from "./markup.js";
import { documentText } from "./page.js";

export interface InteractiveParts {
	/** Scripts, as built: of the page and of its worker. */
	readonly app: string;
	readonly worker: string;
	/** The engine's builds in base64, by file name. */
	readonly modules: Readonly<Record<string, string>>;
	readonly version: string;
}

const defaults: readonly string[] = DEFAULT_STRATEGIES;

function choices(): Markup {
	return html`<form id="choices"><fieldset data-replays><legend>Strategies</legend><div class="tools">${STRATEGIES.map(
		({ name, title, safe }) =>
			html`<label title="${title}"><input type="checkbox" name="strategy" value="${name}"${defaults.includes(name) ? html` checked` : html``}> ${name}${safe ? "" : " (unsafe)"}</label>`,
	)}</div></fieldset><div class="tools"><label>Baseline <select id="baseline">${STRATEGIES.map(
		({ name }) => html`<option${name === DEFAULT_BASELINE ? html` selected` : html``}>${name}</option>`,
	)}</select></label><label data-replays>Machine <select id="machine">${MACHINES.map(({ name, title }) => html`<option value="${name}">${title}</option>`)}</select></label></div><details data-replays><summary>A machine of your own</summary><label for="own-machine">JSON as mmreplay machines NAME prints it; empty for the one above</label><textarea id="own-machine" rows="6" spellcheck="false"></textarea></details><details><summary>Costs</summary><div class="costs">${COST_NAMES.map(
		(name) =>
			html`<label>${name} <input id="cost-${name}" type="number" min="0" max="1000000000000" step="any" value="${DEFAULT_COSTS.items[name].cycles}"></label>`,
	)}</div></details></form>`;
}

/** One HTML file that needs no server and no network. */
export function interactiveText({ app, worker, modules, version }: InteractiveParts): string {
	const body = html`<h1>Replay a trace</h1><p>The trace is replayed here, by the engine of the command line; it is not sent anywhere. Captures are made traces by <code>mmreplay import</code>.</p><div id="drop" class="card"><label for="file">A trace (.mmtrace): choose it, or drop it here</label> <input id="file" type="file" accept=".mmtrace"></div>${choices()}<div class="tools"><button type="button" id="again" disabled>Replay again</button><button type="button" id="cancel" hidden>Cancel</button><progress id="progress" max="1" hidden aria-label="Replayed"></progress><span id="status" role="status"></span></div><pre id="problem" role="alert" hidden></pre><div id="result"></div><script type="application/json" id="parts">${jsonMarkup({ worker, modules, version })}</script>`;
	return documentText({ title: "mmreplay: replay a trace", body, script: app, allow: { worker: true } });
}
