// The listing as a page of its own: the matrix as a table, every scenario with its witnesses below.
import { matrixRows, scenarioLines, totalLine } from "./listing.js";
import type { ScenarioVerdict } from "./verdict.js";

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
table{border-collapse:collapse;font-size:13px}th,td{border:1px solid #8886;padding:.2rem .5rem;text-align:center}th:first-child{text-align:left}
thead th{writing-mode:vertical-rl;transform:rotate(180deg)}.allowed{background:#c33a;font-weight:600}.odd{outline:2px solid #c90}
pre{overflow-x:auto;font-size:13px;line-height:1.35}`;

/** Self-contained. */
export function litmusHtml(verdicts: readonly ScenarioVerdict[]): string {
	const { strategies, rows } = matrixRows(verdicts);
	const head = strategies.map((name) => `<th scope="col">${escaped(name)}</th>`).join("");
	const body = rows.map(({ name, cells }) => {
		const tds = cells.map(({ verdict, expected }) => {
			const odd = expected ? "" : " odd";
			return `<td class="${verdict}${odd}">${verdict === "allowed" ? "BAD" : "ok"}</td>`;
		});
		return `<tr><th scope="row"><a href="#${escaped(name)}">${escaped(name)}</a></th>${tds.join("")}</tr>`;
	});
	const parts = verdicts.map(
		(verdict) => `<section id="${escaped(verdict.scenario.name)}"><pre>${escaped(scenarioLines(verdict, true).join("\n"))}</pre></section>`,
	);
	return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>mmreplay litmus</title><style>${STYLE}</style></head>
<body><h1>mmreplay litmus</h1><p>${escaped(totalLine(verdicts).replace("\n", ": "))}. BAD: the forbidden outcome can happen.</p>
<div style="overflow-x:auto"><table><thead><tr><th></th>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>
${parts.join("\n")}
</body></html>
`;
}
