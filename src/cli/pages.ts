// Scripts of pages, as the build bundled them.
import { readFileSync } from "node:fs";

/** @param name `report`, `app` or `worker` */
export function pageScript(name: string): string {
	// From src/cli and from dist/cli alike.
	return readFileSync(new URL(`../../dist/page/${name}.js`, import.meta.url), "utf8");
}
