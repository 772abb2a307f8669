// What a report does beyond standing there: zoom along the trace, another cost of a vmexit, light or dark. Without it the page shows the same figures.

/** Charts of one group, zoomed together through their view boxes. */
function zoomable(tools: HTMLElement, root: ParentNode): void {
	const figures = [...root.querySelectorAll<HTMLElement>("figure[data-zoom]")].filter(
		(figure) => figure.dataset.zoom === tools.dataset.zoomTools,
	);
	const [first] = figures;
	if (first === undefined) return;
	const [low, high] = [Number(first.dataset.from), Number(first.dataset.to)];
	let [from, to] = [0, 1];
	const draw = (): void => {
		const value = (share: number): string => String(Math.round(low + share * (high - low)));
		for (const figure of figures) {
			figure.querySelector("svg")?.setAttribute("viewBox", `${1000 * from} 0 ${1000 * (to - from)} 240`);
			const [left, , right] = figure.querySelectorAll(".xaxis span");
			if (left !== undefined) left.textContent = value(from);
			if (right !== undefined) right.textContent = value(to);
		}
		const shown = tools.querySelector("[data-zoom-range]");
		if (shown !== null) shown.textContent = from === 0 && to === 1 ? "" : `${value(from)} to ${value(to)}`;
	};
	const place = (middle: number, span: number): void => {
		const width = Math.min(1, Math.max(1 / 4096, span));
		from = Math.min(1 - width, Math.max(0, middle - width / 2));
		to = from + width;
		draw();
	};
	tools.hidden = false;
	tools.addEventListener("click", ({ target }) => {
		if (!(target instanceof HTMLElement)) return;
		const { zoomBy, move } = target.dataset;
		const span = to - from;
		if (zoomBy !== undefined) place((from + to) / 2, zoomBy === "0" ? 1 : span * Number(zoomBy));
		else if (move !== undefined) place((from + to) / 2 + span * Number(move), span);
	});
	for (const svg of figures.flatMap((figure) => [...figure.querySelectorAll("svg")])) {
		let began: number | undefined;
		const at = (event: PointerEvent): number => {
			const { left, width } = svg.getBoundingClientRect();
			return from + ((event.clientX - left) / width) * (to - from);
		};
		svg.addEventListener("pointerdown", (event) => {
			began = at(event);
			svg.setPointerCapture(event.pointerId);
		});
		svg.addEventListener("pointerup", (event) => {
			const end = at(event);
			// A click is no stretch.
			if (began !== undefined && Math.abs(end - began) > (to - from) / 50) place((began + end) / 2, Math.abs(end - began));
			began = undefined;
		});
	}
}

interface Terms {
	readonly name: string;
	readonly exits: number;
	readonly rest: number;
}

/** The slider under the break-even chart. */
function breakEven(tools: HTMLElement): void {
	const id = tools.dataset.breakeven ?? "";
	const slider = tools.querySelector("input");
	const output = tools.querySelector("output");
	const mark = document.getElementById(`${id}-mark`);
	const text = document.getElementById(`${id}-terms`)?.textContent;
	if (slider === null || output === null || text === null || text === undefined) return;
	const { base, others, end } = JSON.parse(text) as { base: Terms; others: Terms[]; end: number };
	const draw = (): void => {
		const cost = Number(slider.value);
		const cycles = ({ rest, exits }: Terms): number => rest + exits * cost;
		const saved = others.map((one) => `${one.name} ${((100 * (cycles(base) - cycles(one))) / (cycles(base) || 1)).toFixed(1)}%`);
		output.textContent = `${cost} cycles: ${saved.join(", ")} saved`;
		mark?.setAttribute("d", `M${(1000 * cost) / end} 0V240`);
	};
	tools.hidden = false;
	slider.addEventListener("input", draw);
	draw();
}

/** Everything in `root` that can move. */
export function enliven(root: ParentNode): void {
	for (const tools of root.querySelectorAll<HTMLElement>("[data-zoom-tools]")) zoomable(tools, root);
	for (const tools of root.querySelectorAll<HTMLElement>("[data-breakeven]")) breakEven(tools);
}

/** Paper shows tables, not their headlines. */
export function openForPrint(): void {
	let opened: HTMLDetailsElement[] = [];
	addEventListener("beforeprint", () => {
		opened = [...document.querySelectorAll<HTMLDetailsElement>("details:not([open])")];
		for (const one of opened) one.open = true;
	});
	addEventListener("afterprint", () => {
		for (const one of opened) one.open = false;
	});
}

/** The button in the page's head. */
export function schemeSwitch(): void {
	const button = document.querySelector<HTMLElement>("[data-scheme-switch]");
	if (button === null) return;
	button.hidden = false;
	button.addEventListener("click", () => {
		const root = document.documentElement;
		const isDark =
			root.dataset.scheme === "dark" || (root.dataset.scheme === undefined && matchMedia("(prefers-color-scheme:dark)").matches);
		root.dataset.scheme = isDark ? "light" : "dark";
	});
}
