// The page's style: light and dark by the reader's setting or choice, readable at 360 pixels and on paper. Colours: Okabe and Ito's, which the
// colour-blind tell apart, darkened or lightened for contrast; lines also differ in their dashes.

const LIGHT = `--bg:#fff;--fg:#1b1f24;--dim:#57606a;--edge:#d0d7de;--soft:#f3f5f7;--good:#11632a;--warn:#8a4600;--bad:#a40e26;--accent:#0a58a8;
--p0:#0a6cb0;--p1:#c25a00;--p2:#007a57;--p3:#a8437f;--p4:#6b5d00;--p5:#4a4fc4;--p6:#00788a;--p7:#b02a2a;--p8:#5a6872;--p9:#86592d;--p10:#3d7a1f;--p11:#7a5c8f;--p12:#1f6f6f;--p13:#8f4a4a`;
const DARK = `--bg:#0f1419;--fg:#e4e8ec;--dim:#a3adb8;--edge:#36404a;--soft:#1a2129;--good:#5fd38a;--warn:#f0a95b;--bad:#ff8a8f;--accent:#7ab8ff;
--p0:#5db4f0;--p1:#ff9d4d;--p2:#3ecf9f;--p3:#ee8cc6;--p4:#d9c74b;--p5:#a3a7ff;--p6:#4fd0e3;--p7:#ff8080;--p8:#a9b7c2;--p9:#d3a676;--p10:#8fd16a;--p11:#c3a6dd;--p12:#7fd0c8;--p13:#e0a3a3`;

const PALETTE = Array.from(
	{ length: 14 },
	(_, at) => `.k${at}{background:var(--p${at})}.s${at}{stroke:var(--p${at});border-color:var(--p${at})}`,
).join("");
const DASHES = ["none", "8 4", "3 3", "10 3 3 3", "none", "8 4", "3 3"]
	.map((dash, at) => `.line.d${at}{stroke-dasharray:${dash}}`)
	.join("");

export const STYLE = `:root{color-scheme:light dark;${LIGHT}}
@media(prefers-color-scheme:dark){:root:not([data-scheme=light]){${DARK}}}
:root[data-scheme=dark]{color-scheme:dark;${DARK}}:root[data-scheme=light]{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
main,header,footer,.page{max-width:72rem;margin:0 auto;padding:0 1rem}
header{display:flex;gap:1rem;align-items:baseline;justify-content:space-between;padding-top:.75rem}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--bg);padding:.25rem .5rem;z-index:2}
h1{font-size:1.5rem;line-height:1.25;margin:1rem 0 .5rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2.25rem 0 .5rem;border-top:1px solid var(--edge);padding-top:1rem}h3{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.5rem 0;max-width:52rem}.dim{color:var(--dim)}a{color:var(--accent)}
nav ul,.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem .9rem;padding:0;margin:.35rem 0;font-size:.85rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.75rem;margin:1rem 0}
.card{border:1px solid var(--edge);border-radius:.5rem;padding:.6rem .85rem;background:var(--soft)}
.card b{display:block;font-size:1.35rem;line-height:1.25;overflow-wrap:anywhere}.card span{font-size:.85rem;color:var(--dim);display:block}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.verdict{font-size:1.1rem;max-width:60rem}
.scroll{overflow-x:auto;margin:.5rem 0}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;min-width:20rem}
caption{text-align:left;color:var(--dim);padding:.2rem 0}th,td{padding:.2rem .65rem;border-bottom:1px solid var(--edge);text-align:left;vertical-align:top}
thead th{vertical-align:bottom;font-weight:600}tbody th{font-weight:500;white-space:nowrap}.n{text-align:right}td.heat{color:var(--fg)}
td.wide{max-width:38rem;overflow-wrap:anywhere}
figure{margin:1rem 0}figcaption{font-size:.9rem;color:var(--dim)}
.bars .row{display:grid;grid-template-columns:minmax(6rem,9rem) 1fr 5rem;gap:.5rem;align-items:center;margin:.2rem 0;font-size:.875rem}
.bars .name{text-align:right;overflow-wrap:anywhere}.track{display:flex;height:1.35rem;background:var(--soft);overflow:hidden;border-radius:.15rem}.track .b{display:block;height:100%;border-right:1px solid var(--bg)}
.bars .sum{font-variant-numeric:tabular-nums}
.heatmap svg{display:block;width:100%;height:100%;fill:var(--p1)}.heatmap .hole{fill:var(--bg)}
.legend i{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;vertical-align:-.05rem;border-radius:.1rem}
.lines .legend i{height:0;border-width:3px 0 0;border-top-style:solid;border-radius:0;width:1.4rem;vertical-align:.25rem}
.lines .legend i.d1,.lines .legend i.d5{border-top-style:dashed}.lines .legend i.d2,.lines .legend i.d3,.lines .legend i.d6{border-top-style:dotted}
.plot{position:relative;padding-left:3.5rem}.plot svg{display:block;width:100%;height:12rem;border-left:1px solid var(--edge);border-bottom:1px solid var(--edge);overflow:hidden}
.ymax,.ymin{position:absolute;left:0;width:3.1rem;text-align:right;font-size:.8rem;color:var(--dim)}.ymax{top:-.4rem}.ymin{bottom:-.4rem}
.line{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}${DASHES}.zero{stroke:var(--edge);vector-effect:non-scaling-stroke}.mark{stroke:var(--fg);stroke-width:1.5;stroke-dasharray:2 3;vector-effect:non-scaling-stroke}
.xaxis{display:flex;justify-content:space-between;gap:.75rem;padding-left:3.5rem;font-size:.8rem;color:var(--dim)}
${PALETTE}
details{margin:.4rem 0}summary{cursor:pointer;color:var(--accent);font-size:.9rem}
button,select,input,.button{font:inherit;font-size:.875rem;color:var(--fg);background:var(--soft);border:1px solid var(--edge);border-radius:.35rem;padding:.2rem .6rem}
button{cursor:pointer}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.tools{display:flex;flex-wrap:wrap;gap:.4rem;align-items:center;margin:.4rem 0;font-size:.9rem}
input[type=range]{flex:1 1 12rem;max-width:28rem;padding:0;accent-color:var(--accent)}
code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.9rem}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere;min-width:0}
footer{padding-top:1.5rem;padding-bottom:2rem;color:var(--dim);font-size:.85rem}
fieldset{border:1px solid var(--edge);border-radius:.5rem;margin:.75rem 0;min-width:0}textarea{width:100%;font:.85rem ui-monospace,monospace;color:var(--fg);background:var(--bg);border:1px solid var(--edge)}
.costs{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.35rem .9rem}.costs label{display:flex;justify-content:space-between;gap:.5rem;font-size:.875rem}.costs input{width:7rem}
#drop{margin:1rem 0}#drop.over{outline:3px solid var(--accent)}#problem{white-space:pre-wrap;overflow-wrap:anywhere;color:var(--bad)}input[type=file],select{max-width:100%}fieldset,label{min-width:0;max-width:100%}
[hidden]{display:none!important}
@media(max-width:40rem){.bars .row{grid-template-columns:1fr 4rem}.bars .name{grid-column:1/-1;text-align:left;margin-bottom:-.25rem}dl{grid-template-columns:minmax(0,1fr)}dt{margin-top:.35rem;overflow-wrap:anywhere}.plot,.xaxis{padding-left:2.7rem}.ymax,.ymin{width:2.4rem}}
@media print{:root{${LIGHT}}body{font-size:10pt}.tools,nav,.skip,header button{display:none}.scroll{overflow:visible}figure,table{break-inside:avoid}*{print-color-adjust:exact}}`;
