// Pages: their scripts as the build bundled them, and the engine.
import { readFileSync } from "node:fs";
import { interactiveText } from "../report/page/interactive.js";
import { version } from "./version.js";

// From src/cli and from dist/cli alike.
const built = (path: string): Buffer => readFileSync(new URL(`../../dist/${path}`, import.meta.url));

/** @param name `report`, `app` or `worker` */
export function pageScript(name: string): string {
	return built(`page/${name}.js`).toString();
}

/** The page that replays in a browser. */
export function interactivePage(): string {
	const names = ["release.wasm", "scalar.wasm"];
	const modules = Object.fromEntries(names.map((name) => [name, built(`engine/${name}`).toString("base64")]));
	return interactiveText({ app: pageScript("app"), worker: pageScript("worker"), modules, version: version() });
}
