#!/usr/bin/env node
// Starts dist/cli/main.js. In a clone dist/ is brought up to date first; an installed package carries it and has no scripts/.

import { existsSync } from "node:fs";

const at = (path) => new URL(path, import.meta.url);

if (existsSync(at("../scripts/stamp.mjs")) && existsSync(at("../node_modules"))) {
	const { isFresh } = await import("../scripts/stamp.mjs");
	if (!isFresh()) {
		const { build } = await import("../scripts/build.mjs");
		if (!(await build())) {
			console.error("mmreplay: error: the build failed (dist)\nhint: npm test says what is wrong");
			process.exit(70);
		}
	}
}
await import("../dist/cli/main.js");
