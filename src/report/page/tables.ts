// Tables of a page.
import type { Table } from "../table.js";
import { html, type Markup, NOTHING } from "./markup.js";

/** Scrolls sideways where it is wider than the screen; the first column heads its rows. */
export function tableMarkup({ columns, rows }: Table, caption: string): Markup {
	const align = (at: number): string => (columns[at]?.align === "right" ? "n" : "");
	return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${columns.map(
		({ title }, at) => html`<th scope="col" class="${align(at)}">${title}</th>`,
	)}</tr></thead><tbody>${rows.map(
		(row) =>
			html`<tr>${columns.map((_, at) => (at === 0 ? html`<th scope="row">${row[at] ?? ""}</th>` : html`<td class="${align(at)}">${row[at] ?? ""}</td>`))}</tr>`,
	)}</tbody></table></div>`;
}

/** A table behind a click, for the chart before it. */
export function foldedTable(table: Table, caption: string): Markup {
	if (table.rows.length === 0) return NOTHING;
	return html`<details><summary>Table: ${caption}</summary>${tableMarkup(table, caption)}</details>`;
}
